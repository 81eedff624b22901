// How the destinations do: all of them, or one.
import { confirm, el, morphChildren, notify, svg, text } from './dom.js'
import { age, bytes, count, destinationBadge, inTrouble, moment, sentence, since, span } from './format.js'
import { ask } from './api.js'
import { statePicture } from './states.js'
import { ended, listen, rate, rates, store, tell } from './store.js'

export function destinations(root, { argument }) {
  const render = () => morphChildren(root, argument ? one(argument) : all())
  render()
  const ends = ['destinations', 'draining', 'access', 'reloaded'].map((kind) => listen(kind, render))
  return { leave: () => ends.forEach((end) => end()), keys: { Escape: () => argument && (location.hash = '#/destinations') } }
}

function all() {
  return [
    el('div.title', {}, el('h1', {}, 'Destinations'),
      el('div.actions', {}, button('reload', 'Reload the config', 'plain', reload), !store.draining.draining && button('drain', 'Drain', 'plain', drain))),
    drainage(), reloadNews(),
    store.destinations.length > 0 && el('p.counts', { id: 'destination-counts' }, summary()),
    store.destinations.length === 0 && el('p.empty', {}, 'Waiting for the destinations to say how they do.'),
    el('div.cards', {}, inOrder(store.destinations).map((d) => el(inTrouble(d) ? 'a.card.destination.trouble' : 'a.card.destination', { href: `#/destinations/${encodeURIComponent(d.name)}`, id: `card-${d.name}` },
      el('div.card-head', {}, el('h2', {}, text(d.name)), destinationBadge(d)),
      el('p.hint', {}, d.vendor, d.not_before && since(d.not_before) < 0 ? ` · nothing goes out for ${span(-since(d.not_before))}` : ''),
      d.blocking > 0 && el('p.hint.bad-text', {}, behindBlocking(d)),
      sparkline(d.name),
      el('dl.numbers.small', {},
        figure('Delivered / s', perSecond(d.name)), figure('Backlog', count(d.backlog), d.backlog > 0 ? 'busy' : ''),
        figure('Oldest waits', d.oldest ? span(since(d.oldest)) : '–'), figure('Dead', count(ended(d, 'dead')), ended(d, 'dead') > 0 ? 'bad' : '')))))].filter(Boolean)
}

/** Those first that somebody has to look after. */
const inOrder = (all) => all.toSorted((a, b) => inTrouble(b) - inTrouble(a))

function summary() {
  const words = Map.groupBy(store.destinations, (d) => d.state_name)
  const blocked = store.destinations.filter((d) => d.blocking > 0).length
  return [...words].map(([word, those]) => `${count(those.length)} ${word}`).concat(blocked > 0 ? `${count(blocked)} with blocked calls` : []).join(' · ')
}

const behindBlocking = (d) => `Calls wait behind ${d.blocking === 1 ? 'a dead letter' : `${count(d.blocking)} dead letters`}`

/** How far a drain has come. */
function drainage() {
  const { draining, done, waiting, paused } = store.draining
  if (!draining) return false
  const left = Object.entries(waiting).sort(([a], [b]) => a.localeCompare(b))
  return el('div.banner', { id: 'drainage', role: 'status' },
    el('p', {}, el('strong', {}, 'Draining: '), 'aka refuses new calls, and stops when it has delivered all others. ',
      done ? 'It is done.' : left.length ? `Waiting: ${left.map(([name, n]) => `${name} ${count(n)}`).join(', ')}.` : ''),
    paused?.length > 0 && el('p', {}, `aka does not stop before you resume the paused destinations: ${paused.join(', ')}.`),
    button('cancel-drain', 'Accept calls again', 'plain', () => act('/drain', 'DELETE', 'aka accepts calls again')))
}

let reloaded // what the last reload from this page has brought, until it is put away

function reloadNews() {
  if (!reloaded) return false
  return el(reloaded.bad ? 'div.banner.bad' : 'div.banner', { id: 'reloaded', role: reloaded.bad ? 'alert' : 'status' },
    reloaded.lines.map((line) => el('p', {}, text(line))),
    el('button.plain', { type: 'button', id: 'put-away', onclick: () => tellReloaded(undefined) }, 'Put away'))
}

function tellReloaded(news) {
  reloaded = news
  tell('reloaded')
}

function one(name) {
  const d = store.destinations.find((known) => known.name === name)
  if (!d) return [el('h1', {}, text(name)), el('p.empty', {}, store.destinations.length ? 'There is no such destination, or it is stopping.' : 'Waiting for it to say how it does.')]
  return [
    el('p.crumbs', {}, el('a', { href: '#/destinations', id: 'back' }, '← Destinations')),
    el('div.title', {}, el('h1', {}, text(d.name)), destinationBadge(d), el('span.hint', {}, d.vendor),
      el('div.actions', {}, actions(d))),
    el('p.why', {}, d.state_means, d.state === 'refusing' ? [' To send them all the same: ', el('code', {}, 'aka destination resume --anyway'), '.'] : '', d.not_before && since(d.not_before) < 0 ? ` The next exchange may start in ${span(-since(d.not_before))}.` : ''),
    d.dry && el('p.why', {}, 'It is dry: aka does everything but send its calls.'),
    (d.filters || d.transforms) && el('p.why', {}, edits(d)),
    d.blocking > 0 && el('p.why.bad-text', {}, behindBlocking(d), ': ', el('a', { href: `#/dead?destination=${encodeURIComponent(d.name)}` }, 'replay or discard them'), '.'),
    el('section', { 'aria-label': 'Numbers' },
      el('dl.numbers', {},
        figure(d.dry ? 'Would send per second' : 'Delivered per second', perSecond(d.name)),
        figure('Backlog', count(d.backlog), d.backlog > 0 ? 'busy' : '', 'Accepted calls that have not ended here'),
        figure('Oldest waits for', d.oldest ? span(since(d.oldest)) : '–'),
        figure('Last delivery', d.last_delivery ? `${age(since(d.last_delivery))}${age(since(d.last_delivery)) === 'now' ? '' : ' ago'}` : '–'),
        figure('Its lag', d.last_delivery ? span(d.lag_seconds) : '–', '', 'From acceptance to delivery'),
        figure('In flight', `${d.in_flight} of ${d.pace.limit}`, '', pace(d.pace)),
        figure('In memory', count(d.window), '', `${bytes(d.bytes)} of ${bytes(d.max_bytes)}`),
        figure('Behind others', count(d.waiting), '', 'Calls that wait for another of the same person'),
        figure('Parked', count(d.parked), d.parked > 0 ? 'warn' : '', 'Calls on disk that fail while others pass, and those behind them'),
        figure('Blocking', count(d.blocking), d.blocking > 0 ? 'bad' : '', 'Dead letters behind which calls wait'),
        figure('Held', count(d.held), d.held > 0 ? 'warn' : '', 'Aliases that a merge rule holds until somebody decides'),
        figure('Retries', count(d.retries), '', 'Tries that failed and were repeated'),
        figure('Order', d.order, '', `on_dead: ${d.on_dead}${d.rate ? `, at most ${d.rate} calls a second` : ''}`))),
    el('section', {}, el('h2', {}, 'Deliveries per second'), sparkline(d.name, 640, 96), el('p.hint', {}, peak(d.name))),
    el('section', {}, el('h2', {}, 'States of a destination'), statePicture(d)),
    el('section', {}, el('h2', {}, 'How calls ended'), outcomeTable(d)),
    reasonTable(d, 'dropped', 'Why calls were dropped', (reason) => `#/live?destination=${encodeURIComponent(d.name)}&reason=${reason}`),
    reasonTable(d, 'dead', 'Why calls are dead letters', (reason) => `#/dead?destination=${encodeURIComponent(d.name)}&reason=${reason}`),
    el('section', {}, el('h2', {}, 'Last failures'), failures(d)),
    el('section', {}, el('h2', {}, 'Answers'), answers(d)),
  ].filter(Boolean)
}

/** Why a destination gets as many exchanges as it does. */
function pace(p) {
  const whys = {
    start: 'as at the start', growth: 'it took more', latency: 'its answers became slower with the load', errors: 'it failed', 429: 'it answered 429', idle: 'there was less to send',
  }
  const parts = [`HTTP exchanges. concurrency: ${p.concurrency}`, `last change ${age(since(p.changed))} ago: ${whys[p.why] ?? p.why}`]
  if (p.latency_seconds > 0) parts.push(`answers in ${span(p.latency_seconds)} at a low load`)
  if (p.learned_rate > 0) parts.push(`learned rate ${p.learned_rate.toFixed(1)} a second`)
  if (p.quota_spent_until) parts.push(`its quota is spent for ${span(-since(p.quota_spent_until))}`)
  return `${parts.join('; ')}.`
}

/** What controls a destination. */
function actions(d) {
  if (d.state === 'removed') return button('forget', 'Forget it', 'danger', () => forget(d))
  return d.state === 'paused'
    ? button('resume', 'Resume', 'primary', () => control(d.name, 'resume', 'Resumed'))
    : button('pause', 'Pause', 'plain', () => control(d.name, 'pause', 'Paused: exchanges in flight end, and other calls wait'))
}

const button = (id, label, tone, onclick) => el(`button.${tone}`, { type: 'button', id, onclick, disabled: store.access !== 'full', title: store.access !== 'full' ? 'Your token allows to read only' : undefined }, label)

const control = (name, what, done) => act(`/destinations/${encodeURIComponent(name)}/${what}`, 'POST', done)

async function act(path, method, done) {
  try {
    await ask(path, { method })
    notify(done)
  } catch (error) {
    notify(error.message, true)
  }
}

/** Has the server go by its config's file as it is now. */
async function reload() {
  try {
    const done = await ask('/reload', { method: 'POST' })
    const changed = ['added', 'replaced', 'removed'].filter((what) => done[what]?.length).map((what) => `${what} ${done[what].join(', ')}`)
    const restart = done.needs_restart?.length > 0 && `These count only after a restart: ${done.needs_restart.join(', ')}.`
    tellReloaded({ lines: [`Reloaded: ${changed.join('; ') || 'the destinations are as they were'}.`, restart].filter(Boolean), bad: false })
  } catch (error) {
    tellReloaded({ lines: error.message.split('\n'), bad: true })
  }
}

async function drain() {
  const sure = await confirm({ title: 'Drain aka?', body: 'aka answers new calls with 503, delivers all waiting calls, and stops. You can cancel it until then. Resume paused destinations first.', yes: 'Drain', danger: true })
  if (sure) act('/drain', 'POST', 'Draining')
}

async function forget(d) {
  const sure = await confirm({ title: `Forget ${d.name}?`, body: `${d.backlog === 1 ? '1 call that waits' : `${count(d.backlog)} calls that wait`} for it will never be delivered. Its dead letters stay.`, yes: 'Forget', danger: true })
  if (!sure) return
  try {
    await ask(`/destinations/${encodeURIComponent(d.name)}`, { method: 'DELETE' })
    location.hash = '#/destinations'
    notify(`${d.name} is forgotten`)
  } catch (error) {
    notify(error.message, true)
  }
}

function figure(name, value, tone = '', hint = '') {
  return el(`div.figure${tone ? '.' + tone : ''}`, {}, el('dt', { title: hint || undefined }, name), el('dd', {}, value), hint && el('dd.hint', {}, hint))
}

function perSecond(name) {
  const r = rate(name)
  return r === undefined ? '…' : r >= 10 || r === 0 ? count(Math.round(r)) : r.toFixed(1)
}

function peak(name) {
  const values = rates(name)
  return values.length === 0 ? 'Seen from now on.' : `At most ${count(Math.ceil(Math.max(...values)))} a second in the last ${values.length} seconds.`
}

function sparkline(name, width = 260, height = 44) {
  const values = rates(name)
  const most = Math.max(...values, 1)
  const step = width / 89
  const left = width - step * (values.length - 1)
  const points = values.map((v, i) => [left + i * step, height - 2 - (v / most) * (height - 6)])
  const picture = svg('svg', { class: 'spark', viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `Deliveries per second over the last ${values.length} seconds, at most ${Math.round(most)}` })
  if (points.length > 1) {
    const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')
    picture.append(
      svg('polygon', { class: 'spark-area', points: `${points[0][0].toFixed(1)},${height} ${line} ${width},${height}` }),
      svg('polyline', { class: 'spark-line', points: line }))
  }
  return picture
}

/** Which of filter and transform the destination has. */
function edits(d) {
  const does = [d.filters && 'filters the calls', d.transforms && 'edits a copy of each call'].filter(Boolean)
  return `The config ${does.join(' and ')} for this destination.`
}

function outcomeTable(d) {
  if (d.outcomes.length === 0) return el('p.hint', {}, 'None has ended since the start.')
  const types = store.words.types.filter((type) => d.outcomes.some((o) => o.type === type))
  const sum = (type, outcome) => d.outcomes.filter((o) => o.type === type && o.outcome === outcome).reduce((total, o) => total + o.count, 0)
  const [good, head] = d.dry ? ['would_send', 'Would send'] : ['delivered', 'Delivered']
  const cell = (n) => el('td', {}, n ? count(n) : el('span.zero', {}, '0'))
  return el('div.scroll', {}, el('table', {},
    el('thead', {}, el('tr', {}, ['Type', head, 'Dropped', 'Dead'].map((title) => el('th', { scope: 'col' }, title)))),
    el('tbody', {}, types.map((type) => el('tr', {}, el('th', { scope: 'row' }, type), [good, 'dropped', 'dead'].map((outcome) => cell(sum(type, outcome)))))),
    el('tfoot', {}, el('tr', {}, el('th', { scope: 'row' }, 'All'), [good, 'dropped', 'dead'].map((outcome) => cell(ended(d, outcome)))))))
}

function reasonTable(d, outcome, title, link) {
  const reasons = new Map()
  for (const o of d.outcomes.filter((o) => o.outcome === outcome)) {
    const known = reasons.get(o.reason) ?? { why: o.why, count: 0, types: [] }
    known.count += o.count
    known.types.push(`${count(o.count)} ${o.type}`)
    reasons.set(o.reason, known)
  }
  if (reasons.size === 0) return false
  const rows = [...reasons].sort(([, a], [, b]) => b.count - a.count)
  return el('section', {}, el('h2', {}, title),
    el('ul.reasons', {}, rows.map(([reason, r]) => el('li', {},
      el('span.reason-count', {}, count(r.count)),
      el('div', {}, el('a', { href: link(reason), id: `reason-${outcome}-${reason}` }, el('code', {}, reason)), el('p', {}, sentence(r.why)), el('p.hint', {}, r.types.join(', ')))))))
}

const kinds = { later: 'to be tried again', never: 'refused for good', operator: 'credentials refused', split: 'too large', isolate: 'refused as a batch', not_the_vendor: 'not the vendor’s answer', gone: 'the receiver asks to stop' }

function failures(d) {
  if (d.failures.length === 0) return el('p.hint', {}, 'None since the start.')
  return el('ul.failures', {}, d.failures.map((f) => el('li', {},
    el('div', {}, el('strong', {}, f.status ? `${f.status}` : f.kind), ' ', el('span', {}, f.status ? kinds[f.kind] ?? f.kind : 'no answer'),
      el('span.hint', {}, ` · ${count(f.calls)} ${f.calls === 1 ? 'time' : 'times'}, last `, el('time', { datetime: f.last, title: moment(f.last) }, `${age(since(f.last))}`), age(since(f.last)) === 'now' ? '' : ' ago')),
    f.why && el('p', {}, sentence(f.why)),
    f.detail && el('p.said', {}, text(f.detail)))))
}

function answers(d) {
  const results = Object.keys(d.exchanges).sort()
  if (results.length === 0) return el('p.hint', {}, 'Nothing was sent since the start.')
  return el('ul.pills', {}, results.map((result) => el(`li.${result === '2xx' ? 'good' : 'warn'}`, {}, el('span', {}, result), ' ', el('strong', {}, count(d.exchanges[result])))))
}
