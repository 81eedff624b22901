// The calls as they come in, and what happens to each at every destination.
import { $, el, fill, input, morph, morphChildren, select, short, text } from './dom.js'
import { age, badge, clock, explained, inShort, json, moment, noteMeaning, sentence, since, span, states, typeTag } from './format.js'
import { follow, inOrder, listen, store } from './store.js'
import { ask, query } from './api.js'

const mostRows = 250
const fields = ['destination', 'type', 'state', 'reason', 'id', 'source']
const mostColumns = 5 // of destinations, one beside the other

export function live(root, { filters }) {
  const filter = Object.fromEntries(fields.map((key) => [key, filters[key] ?? '']))
  let paused = false
  let frozen = [] // what is shown while paused
  let missed = new Set()
  let selected = '' // the call that is open
  const rows = new Map()

  const list = el('div.calls', { role: 'group', 'aria-label': 'Calls, newest first' })
  const empty = el('div.empty')
  const counts = el('p.counts', { role: 'status' })
  const fold = el('button.fold', { type: 'button', 'aria-expanded': 'false', onclick: unfold }, 'Filters')
  const pause = el('button.pause', { type: 'button', 'aria-pressed': 'false', onclick: togglePause })
  const panel = el('aside.panel', { 'aria-label': 'The call', hidden: true, tabindex: '-1' })
  const bar = el('form.bar', { role: 'search', 'aria-label': 'Filters', onsubmit: (event) => event.preventDefault() })
  root.append(el('h1.visually-hidden', {}, 'Live calls'), bar, counts, el('div.split', {}, el('div.list-side', {}, el('div.calls-head', { 'aria-hidden': 'true' }), list, empty), panel))

  function build() {
    const w = store.words
    const any = ['', 'any']
    const set = (key) => (value) => change({ [key]: value })
    fill(bar,
      select('Destination', [any, ...w.destinations], filter.destination, set('destination')),
      select('Type', [any, ...w.types], filter.type, set('type')),
      select('Outcome', [any, ...w.states.map((s) => [s, states[s]?.[1] ?? s])], filter.state, set('state')),
      select('Reason', [any, ...Object.keys(w.reasons).sort()], filter.reason, set('reason')),
      w.sources.length > 1 && select('Source', [any, ...w.sources], filter.source, set('source')),
      input('Id', filter.id, debounce(set('id')), { id: 'id-filter', type: 'search', placeholder: 'user, device or message', dir: 'auto' }),
      el('div.bar-end', {}, fold, el('button.quiet', { type: 'button', onclick: clear, id: 'clear' }, 'Clear'), pause))
    const columns = w.destinations
    root.style.setProperty('--destinations', String(Math.max(columns.length, 1)))
    root.classList.toggle('wide', columns.length > 0 && columns.length <= mostColumns)
    root.classList.toggle('many', columns.length > mostColumns)
    fill(root.querySelector('.calls-head'),
      el('span', {}, 'Age'), el('span', {}, 'Type'), el('span', {}, 'Who and what'), columns.map((name) => el('span', {}, short(name, 18))))
  }

  function change(values) {
    Object.assign(filter, values)
    address()
    follow(asked())
    render()
  }

  // The filters, and which call is open, can be linked.
  function address() {
    history.replaceState(null, '', '#/live' + query({ ...filter, call: selected }))
  }

  // Only whole words go to the server.
  const asked = () => Object.fromEntries(Object.entries(filter).filter(([, value]) => value))

  // On a phone the choices are folded away.
  function unfold() {
    fold.setAttribute('aria-expanded', String(bar.classList.toggle('unfolded')))
  }

  function clear() {
    change(Object.fromEntries(fields.map((key) => [key, ''])))
    build()
  }

  function matches(call) {
    if (filter.type && call.type !== filter.type) return false
    if (filter.source && call.source !== filter.source) return false
    if (filter.id && ![call.user_id, call.anonymous_id, call.previous_id, call.message_id].some((id) => id?.includes(filter.id))) return false
    if (!filter.destination && !filter.state && !filter.reason) return true
    return call.destinations.some((s) =>
      (!filter.destination || s.destination === filter.destination) && (!filter.state || s.state === filter.state) && (!filter.reason || s.reason === filter.reason))
  }

  function togglePause() {
    paused = !paused
    frozen = paused ? inOrder([...store.calls.values()]) : []
    missed = new Set()
    render()
  }

  function render() {
    const calls = (paused ? frozen : inOrder([...store.calls.values()])).filter(matches).slice(0, mostRows)
    const shown = new Set(calls.map((call) => call.id))
    for (const id of rows.keys()) if (!shown.has(id)) rows.delete(id)
    const nodes = calls.map((call) => rowOf(call))
    if (nodes.length !== list.children.length || nodes.some((node, i) => list.children[i] !== node)) {
      const focused = document.activeElement
      fill(list, ...nodes)
      if (focused && list.contains(focused)) focused.focus({ preventScroll: true })
    }
    pause.setAttribute('aria-pressed', String(paused))
    fill(pause, paused ? (missed.size ? `Go on (${missed.size} new)` : 'Go on') : 'Pause')
    const given = fields.filter((key) => key !== 'id' && filter[key]).length
    fold.textContent = given ? `Filters (${given})` : 'Filters'
    sayCounts(calls.length)
    sayEmpty(calls.length)
  }

  function sayCounts(n) {
    const o = store.overview
    const parts = []
    if (o.since) {
      parts.push(`${n === 1 ? '1 call' : `${n} calls`} shown`)
      if (o.skipped > 0) parts.push(`${o.skipped} of ${o.taken} that came in were too many to show: a filter by id, type or source shows all that match`)
      parts.push(`recording for ${age(since(o.since))}`)
    }
    counts.textContent = parts.join(' · ')
  }

  function sayEmpty(n) {
    empty.hidden = n > 0
    if (n > 0) return
    const filtered = Object.values(filter).some(Boolean)
    fill(empty,
      el('p.empty-title', {}, filtered ? 'No call matches' : 'Listening for calls'),
      el('p', {}, filtered ? 'Those that come in and match appear here.' : 'Each appears here as it comes in, with what happens to it at every destination. Calls that destinations still hold are shown too. What ended before this page was opened was not recorded.'))
  }

  /** The row of a call; made anew when the call has changed. */
  function rowOf(call) {
    const known = rows.get(call.id)
    if (known?.call === call) return known.node
    const node = el('button.call', {
      type: 'button', 'data-id': call.id, 'aria-current': call.id === selected ? 'true' : undefined, onclick: () => open(call.id),
    },
      el('span.age', { title: moment(call.received_at), 'data-at': call.received_at }, age(since(call.received_at))),
      typeTag(call.type), who(call), outcomes(call))
    if (known) morph(known.node, node)
    rows.set(call.id, { call, node: known?.node ?? node })
    return known?.node ?? node
  }

  function who(call) {
    const ids = call.type === 'alias'
      ? [short(call.previous_id ?? '?'), el('span.arrow', { 'aria-label': 'becomes' }, ' → '), short(call.user_id ?? '?')]
      : [short(call.user_id ?? call.anonymous_id ?? '?'), !call.user_id && el('span.hint', {}, ' anonymous')]
    return el('span.who', {}, el('span.ids', {}, ids), el('span.what', {}, (call.name || call.group_id) && el('span.name', {}, short(call.name || call.group_id, 40)),
      el('span.source', {}, text(call.source), call.replays ? ` · replay ${call.replays}` : '')))
  }

  function outcomes(call) {
    const byName = new Map(call.destinations.map((s) => [s.destination, s]))
    const names = [...new Set([...store.words.destinations, ...byName.keys()])]
    if (names.length > mostColumns) return grouped(call, names, byName)
    return el('span.outcomes', {}, names.map((name) => {
      const step = byName.get(name)
      if (call.target && call.target !== name) return el('span.outcome.elsewhere', {}, el('span.at', {}, text(name)), el('span.hint', {}, 'not for it'))
      return el('span.outcome', {}, el('span.at', {}, text(name)), badge(step, call), el('span.more', { title: inShort(step) }, inShort(step)))
    }))
  }

  /** Of many destinations, those in the same state together. What is wrong comes first. */
  function grouped(call, names, byName) {
    const those = names.filter((name) => !call.target || call.target === name)
    const groups = Map.groupBy(those, (name) => byName.get(name)?.state ?? '')
    const urgency = (state) => urgent.indexOf(state) + 1 || urgent.length + 1
    return el('span.outcomes', {}, [...groups].sort(([a], [b]) => urgency(a) - urgency(b)).map(([state, members]) =>
      el('span.outcome', { title: members.join(', ') }, badge(state && { state }, call), ' ',
        el('span.at', {}, members.length === those.length && members.length > 1 ? 'everywhere' : [members.length > 3 && `${members.length}: `, text(members.slice(0, 6).join(', ')), members.length > 6 && ' …']))))
  }

  async function open(id) {
    selected = id
    address()
    for (const [key, { node }] of rows) {
      if (key === id) node.setAttribute('aria-current', 'true')
      else node.removeAttribute('aria-current')
    }
    const wasHidden = panel.hidden
    panel.hidden = false
    root.classList.add('open')
    try {
      const call = await ask(`/live/calls/${encodeURIComponent(id)}`)
      if (selected !== id) return
      if (panel.dataset.id === id) morphChildren(panel, detail(call, close))
      else fill(panel, detail(call, close))
      panel.dataset.id = id
    } catch (error) {
      if (selected !== id) return
      panel.dataset.id = ''
      if (wasHidden || error.status !== 404) fill(panel, closer(close), el('p.empty', {}, error.message))
    }
    if (wasHidden) panel.focus({ preventScroll: true })
  }

  function close() {
    const row = rows.get(selected)?.node
    selected = ''
    address()
    panel.hidden = true
    root.classList.remove('open')
    row?.removeAttribute('aria-current')
    row?.focus({ preventScroll: true })
  }

  function move(by) {
    const all = [...list.children]
    const at = all.findIndex((node) => node === document.activeElement || node.dataset.id === selected)
    const next = all[Math.min(Math.max(at + by, 0), all.length - 1)]
    next?.focus()
    if (next && !panel.hidden) open(next.dataset.id)
  }

  build()
  render()
  follow(asked())
  if (filters.call) open(filters.call)
  const ends = [
    listen('calls', (calls) => {
      if (paused) for (const call of calls) if (!frozen.some((known) => known.id === call.id)) missed.add(call.id)
      render()
      if (selected && !paused && calls.some((call) => call.id === selected)) open(selected)
    }),
    listen('words', () => { build(); render() }),
    listen('overview', () => sayCounts(list.children.length)),
  ]
  const clockwork = setInterval(() => {
    for (const node of list.querySelectorAll('.age')) node.textContent = age(since(node.dataset.at))
    for (const { call, node } of rows.values()) {
      if (call.destinations.some((s) => s.next)) morph(node.querySelector('.outcomes'), outcomes(call))
    }
  }, 1000)

  return {
    leave: () => { ends.forEach((end) => end()); clearInterval(clockwork); root.classList.remove('wide', 'many', 'open') },
    keys: {
      j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
      Escape: () => !panel.hidden && close(), p: togglePause, c: clear, '/': () => $('id-filter').focus(),
      Enter: () => document.activeElement.dataset?.id && open(document.activeElement.dataset.id),
    },
  }
}

function debounce(then) {
  let timer
  return (value) => {
    clearTimeout(timer)
    timer = setTimeout(() => then(value), 150)
  }
}

const urgent = ['dead', 'blocking', 'held', 'parked', 'retrying', 'waiting', 'sending', 'queued', '', 'dropped', 'would_send', 'delivered']

const closer = (close) => el('button.quiet.close', { type: 'button', onclick: close, 'aria-label': 'Close' }, '✕')

/** All that is known of a call. */
function detail(call, close) {
  const facts = [
    ['User id', call.user_id], ['Previous id', call.previous_id], ['Anonymous id', call.anonymous_id], ['Group id', call.group_id], ['Name', call.name],
    ['Message id', call.message_id], ['Source', call.source], ['Accepted', moment(call.received_at)], ['Happened', moment(call.timestamp)], ['Place in the journal', call.id],
    ['Odd', call.diagnostics?.join(', ')],
    ['Replay', call.replays ? `${call.replays}, for ${call.target} only` : ''],
  ].filter(([, value]) => value)
  const names = [...new Set([...(call.explained ?? []).map((d) => d.name), ...call.steps.map((s) => s.destination)])]
  return [
    el('div.panel-head', {}, el('h2', {}, typeTag(call.type), ' ', short(call.name || call.user_id || call.anonymous_id || '', 28)), closer(close)),
    el('dl.facts', {}, facts.map(([name, value]) => [el('dt', {}, name), el('dd', {}, /^(User|Previous|Anonymous) id$/.test(name) ? el('a', { href: `#/identity?id=${encodeURIComponent(value)}` }, text(value)) : text(value))])),
    names.map((name) => atDestination(call, name)),
    call.call
      ? el('details', { 'data-key': 'call' }, el('summary', {}, 'The call as it was sent'), json(call.call))
      : el('p.hint', {}, 'The call is too large to be kept here.'),
  ]
}

function atDestination(call, name) {
  const steps = call.steps.filter((s) => s.destination === name)
  const last = call.destinations.find((s) => s.destination === name)
  const foreseen = (call.explained ?? []).find((d) => d.name === name)
  const sent = ['delivered', 'dead', 'blocking', 'retrying', 'parked'].includes(last?.state)
  return el('section.at-destination', {},
    el('h3', {}, el('a', { href: `#/destinations/${encodeURIComponent(name)}` }, text(name)), ' ', badge(last, call), ' ', el('span.hint', {}, inShort(last))),
    !last && call.partial && el('p.why', {}, 'What happened to it here was not recorded: it came before the recording began, or was passed over at first. It may have ended here, or not been read yet.'),
    last?.reason && store.words.reasons[last.reason] && el('p.why', {}, sentence(store.words.reasons[last.reason])),
    last?.note && el('p.why', {}, el('code', {}, last.note), noteMeaning(last.note) && [': ', noteMeaning(last.note)]),
    last?.detail && el('p.said', {}, 'It said: ', text(last.detail)),
    foreseen?.diagnostics?.length > 0 && el('p.hint', {}, 'Odd in its integrations: ', foreseen.diagnostics.join(', ')),
    last?.dead_letter && el('p', {}, el('a', { href: `#/dead?id=${encodeURIComponent(call.user_id ?? call.anonymous_id ?? call.previous_id ?? '')}&destination=${encodeURIComponent(name)}` }, `Dead letter ${last.dead_letter}`)),
    steps.length > 0 && el('ol.steps', {}, steps.map((s) => stepLine(call, s))),
    call.omitted > 0 && el('p.hint', {}, `${call.omitted} steps in between are not kept.`),
    foreseen && !(foreseen.reason && foreseen.reason === last?.reason) && el('details', { 'data-key': name },
      el('summary', {}, foreseen.outcome === 'send' ? (sent ? 'The request that was sent' : last?.state === 'dropped' ? 'The request that would have been sent' : 'The request that is to be sent') : 'What becomes of it here'),
      explained(foreseen, 'h4')))
}

function stepLine(call, s) {
  const parts = [
    (s.requests > 1 || s.more) && `request ${s.request} of ${s.requests}${s.more ? " or more" : ""}`,
    s.attempt > 0 && ['sending', 'retrying', 'dead', 'parked'].includes(s.state) && `attempt ${s.attempt}`,
    s.batch > 1 && `in a batch of ${s.batch}`,
    s.status > 0 && s.state !== 'sending' && `answered ${s.status}`,
    s.took_seconds > 0 && `after ${span(s.took_seconds)}`,
    s.next && `next try ${clock(s.next)}`,
  ].filter(Boolean)
  return el('li', {},
    el('time', { datetime: s.at, title: moment(s.at) }, clock(s.at)), badge(s),
    el('span.hint', {}, parts.join(', ')),
    s.behind && el('span.hint', {}, 'behind ', el('span', {}, `${s.behind.type} `), short(s.behind.message_id, 24)))
}
