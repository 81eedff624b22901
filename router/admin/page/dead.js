// Dead letters: what there is, why, and what is to become of it.
import { $, confirm, el, fill, input, notify, select, short, text } from './dom.js'
import { age, count, explained, json, moment, sentence, since, typeTag } from './format.js'
import { ask, query } from './api.js'
import { ended, listen, store } from './store.js'

const fields = ['destination', 'reason', 'type', 'id', 'since']
const page = 50

export function dead(root, { filters }) {
  const filter = Object.fromEntries(fields.map((key) => [key, filters[key] ?? '']))
  let asked = 0
  let next = 0
  let known = died() // how many had when the list was read

  const bar = el('form.bar', { role: 'search', 'aria-label': 'Filters', onsubmit: (event) => event.preventDefault() })
  const summary = el('p.counts', { role: 'status' })
  const groups = el('ul.reasons.groups', { 'aria-label': 'Dead letters by reason', hidden: true })
  const bulk = el('div.buttons.bulk')
  const list = el('ul.letters', { 'aria-label': 'Dead letters, oldest first' })
  const empty = el('div')
  const news = el('button.news', { type: 'button', hidden: true, onclick: () => load() }, 'There are new dead letters: show them')
  const more = el('button', { type: 'button', hidden: true, onclick: () => load(true) }, 'Show more')
  root.append(el('h1', {}, 'Dead letters'), el('p.hint', {}, 'aka gave up on these calls. A replay sends a call to its destination again, with its messageId. A discard removes it for good.'), bar, summary, groups, bulk, news, empty, list, more)

  function build() {
    const w = store.words
    const any = ['', 'any']
    const set = (key) => (value) => change({ [key]: value })
    fill(bar,
      select('Destination', [any, ...w.destinations], filter.destination, set('destination')),
      select('Reason', [any, 'refused', 'rejected', 'too_large', 'too_old', 'expired', 'max_attempts', 'undecodable'], filter.reason, set('reason')),
      select('Type', [any, ...w.types], filter.type, set('type')),
      select('Died', [['', 'at any time'], ['1h', 'in the last hour'], ['24h', 'in the last day'], ['7d', 'in the last week']], filter.since, set('since')),
      input('Id', filter.id, debounce(set('id')), { id: 'id-filter', type: 'search', placeholder: 'user or device, whole', dir: 'auto' }),
      el('div.bar-end', {}, el('button.quiet', { type: 'button', onclick: clear }, 'Clear')))
  }

  function change(values) {
    Object.assign(filter, values)
    history.replaceState(null, '', '#/dead' + query(filter))
    load()
  }

  function clear() {
    change(Object.fromEntries(fields.map((key) => [key, ''])))
    build()
  }

  async function load(further = false) {
    const turn = ++asked
    try {
      const [found, counts] = await Promise.all([
        ask('/dead-letters' + query({ ...filter, limit: page, after: further ? next : undefined })),
        ask('/dead-letters/summary' + query({ destination: filter.destination, reason: filter.reason, type: filter.type })),
      ])
      if (turn !== asked) return
      next = found.next
      known = died()
      news.hidden = true
      const rows = found.dead_letters.map(row)
      if (further) list.append(...rows)
      else fill(list, ...rows)
      more.hidden = !next
      say(counts)
    } catch (error) {
      if (turn !== asked) return
      fill(list)
      groups.hidden = true
      fill(empty, el('p.empty', {}, error.message))
      summary.textContent = ''
      fill(bulk)
    }
  }

  const narrowed = () => filter.id || filter.since

  function say(counts) {
    const shown = list.children.length
    summary.textContent = narrowed() ? `${shown}${next ? ' or more' : ''} match` : `${count(counts.count)} in all`
    sayGroups(counts.dead_letters)
    const all = narrowed() ? (next ? 'all' : shown) : counts.count
    fill(bulk, ...(shown === 0 ? [] : [
      button('Replay all that match', 'primary', () => decideAll('replay', all)),
      button('Discard all that match', 'danger', () => decideAll('discard', all)),
    ]))
    fill(empty)
    if (shown === 0) {
      fill(empty, el('div.empty', {}, el('p.empty-title', {}, 'No dead letters'), el('p', {}, Object.values(filter).some(Boolean) ? 'None matches these filters.' : 'Every call was delivered, was dropped with a reason, or still waits.')))
    }
  }

  /** How many there are for each reason, and at which destinations. Each leads to those. The counts go by no id or time. */
  function sayGroups(kinds) {
    groups.hidden = narrowed() || kinds.length === 0
    const narrow = (label, values) => el('button.quiet', { type: 'button', onclick: () => { change(values); build() } }, label)
    fill(groups, [...Map.groupBy(kinds, (k) => k.reason)].map(([reason, those]) => [reason, those, those.reduce((sum, k) => sum + k.count, 0)])
      .sort(([, , a], [, , b]) => b - a)
      .map(([reason, those, sum]) => el('li', {},
        el('span.reason-count', {}, count(sum)),
        el('div', {}, narrow(el('code', {}, reason), { reason }), ' ', those.map((k) => narrow([text(k.destination), ` ${count(k.count)}`], { reason, destination: k.destination })),
          el('p', {}, sentence(store.words.reasons[reason]))))))
  }

  function tellNews() {
    known ??= died()
    news.hidden = !(died() > known)
  }

  function row(letter) {
    const box = el('li.letter', { 'data-id': letter.id, tabindex: '0' })
    const inside = el('div.letter-more', { hidden: true })
    const toggle = el('button.quiet.open', { type: 'button', 'aria-expanded': 'false', onclick: unfold }, 'Details')
    box.append(
      el('div.letter-head', {},
        el('div', {},
          el('p.letter-line', {}, typeTag(letter.type), ' ', el('strong', {}, text(letter.destination)), ' ', el('span.badge.bad', {}, el('span.shape', { 'aria-hidden': 'true' }, '✕'), el('span.word', {}, letter.reason)),
            letter.status ? el('span.hint', {}, ` answered ${letter.status}`) : '', letter.blocking && el('span.badge.warn', {}, el('span.shape', { 'aria-hidden': 'true' }, '■'), el('span.word', {}, 'calls wait behind it'))),
          idsOf(letter),
          letter.detail && el('p.said', {}, short(letter.detail, 200)),
          el('p.hint', {}, `${count(letter.attempts)} ${letter.attempts === 1 ? 'attempt' : 'attempts'}, last `, el('time', { datetime: letter.last, title: moment(letter.last) }, age(since(letter.last)) + (age(since(letter.last)) === 'now' ? '' : ' ago')),
            letter.replays ? ` · replayed ${letter.replays} times` : '', ' · ', text(letter.source), ' · ', short(letter.message_id, 24))),
        el('div.buttons', {}, toggle,
          button('Replay', 'primary', () => decide(letter, 'replay', box)),
          button('Discard', 'danger', () => decide(letter, 'discard', box)))),
      inside)

    async function unfold() {
      inside.hidden = !inside.hidden
      toggle.setAttribute('aria-expanded', String(!inside.hidden))
      if (inside.hidden) return
      try {
        const whole = await ask(`/dead-letters/${letter.id}`)
        fill(inside,
          whole.detail?.length > 200 && el('p.said', {}, text(whole.detail)),
          el('p.why', {}, sentence(store.words.reasons[whole.reason] ?? whole.reason)),
          el('h2', {}, 'The call'), json(whole.call),
          el('h2', {}, 'What a replay would send'), await foresee(whole))
      } catch (error) {
        fill(inside, el('p.empty', {}, error.message))
      }
    }
    return box
  }

  async function decide(letter, what, box) {
    if (what === 'discard' && !(await confirm({ title: `Discard this ${letter.type}?`, body: `${letter.destination} will never receive it. You cannot undo this.`, yes: 'Discard', danger: true }))) return
    try {
      await ask(`/dead-letters/${letter.id}${what === 'replay' ? '/replay' : ''}`, { method: what === 'replay' ? 'POST' : 'DELETE' })
      notify(what === 'replay' ? `Replayed to ${letter.destination}: watch it on the live page` : 'Discarded')
      const neighbour = box.nextElementSibling ?? box.previousElementSibling
      box.remove()
      neighbour?.focus()
      load()
    } catch (error) {
      notify(error.message, true)
    }
  }

  async function decideAll(what, n) {
    const where = [filter.destination && `of ${filter.destination}`, filter.reason && `that are ${filter.reason}`].filter(Boolean).join(' ')
    const sure = await confirm({
      title: `${what === 'replay' ? 'Replay' : 'Discard'} ${n === 1 ? 'one dead letter' : typeof n === 'number' ? `${count(n)} dead letters` : 'all dead letters'}${where ? ' ' + where : ''}?`,
      body: what === 'replay' ? 'aka sends them again in the order in which it accepted them, as fast as dead_letters.replay_rate allows.' : 'Their destinations will never receive them. You cannot undo this.',
      yes: what === 'replay' ? 'Replay' : 'Discard', danger: what === 'discard',
    })
    if (!sure) return
    let done = 0
    let until
    try {
      for (let more = true; more;) {
        const answer = await ask(`/dead-letters/${what}` + query({ ...filter, until, limit: 100000 }), { method: 'POST' })
        done += answer.count
        until = answer.until
        more = Boolean(answer.more)
        notify(`${what === 'replay' ? 'Replayed' : 'Discarded'} ${count(done)}${more ? ' so far' : ''}`)
      }
    } catch (error) {
      notify(`${error.message} (${count(done)} done)`, true)
    }
    load()
  }

  const button = (label, tone, onclick) => el(`button.${tone}.changes`, { type: 'button', onclick, disabled: store.access !== 'full', title: store.access !== 'full' ? 'Your token allows to read only' : undefined }, label)

  function move(by) {
    const all = [...list.querySelectorAll('.letter')]
    const at = all.findIndex((node) => node.contains(document.activeElement))
    all[Math.min(Math.max(at + by, 0), all.length - 1)]?.focus()
  }

  build()
  load()
  const ends = [listen('words', build), listen('access', () => load()), listen('destinations', tellNews)]
  return {
    leave: () => { asked++; ends.forEach((end) => end()) },
    keys: {
      j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1), c: clear, '/': () => $('id-filter').focus(),
      Enter: () => document.activeElement.querySelector?.('.open')?.click(),
    },
  }
}

/** The ids of a dead letter's call. The server masks them for a token that only reads. */
function idsOf(letter) {
  const ids = [['previousId', letter.previous_id], ['userId', letter.user_id], ['anonymousId', letter.anonymous_id]].filter(([, id]) => id)
  return ids.length > 0 && el('dl.letter-ids', { title: letter.masked ? 'Masked, because your token allows to read only' : undefined },
    ids.map(([name, id]) => el('div', {}, el('dt', {}, name), ' ', el('dd', {}, short(id, 40)))))
}

/** How many calls have died, as far as the destinations have told. */
const died = () => store.destinations.length === 0 ? undefined : store.destinations.reduce((sum, d) => sum + ended(d, 'dead'), 0)

async function foresee(letter) {
  try {
    const explanation = await ask('/explain' + query({ source: letter.source }), { method: 'POST', body: JSON.stringify(typeof letter.call === 'object' ? { ...letter.call, type: letter.type } : letter.call) })
    const refused = explanation.calls.find((call) => call.rejected)
    if (refused) return el('p.refusal', {}, text(refused.rejected.message))
    const there = explanation.calls.flatMap((call) => call.destinations ?? []).filter((d) => d.name === letter.destination)
    return there.length ? el('div', {}, there.map((d) => explained(d))) : el('p.hint', {}, 'Nothing, because the destination is no longer in the config.')
  } catch (error) {
    return el('p.hint', {}, error.message)
  }
}

function debounce(then) {
  let timer
  return (value) => {
    clearTimeout(timer)
    timer = setTimeout(() => then(value), 200)
  }
}
