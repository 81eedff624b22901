// What is known: the calls as they come in, and how the destinations do. It follows the server's events, and comes back when
// the connection is lost.
import { ask, query } from './api.js'

const most = 500
const samplesKept = 90

export const store = {
  words: { destinations: [], sources: [], types: [], states: [], reasons: {} },
  overview: {},
  calls: new Map(), // by id
  destinations: [],
  samples: new Map(), // by destination: what it had delivered, each second
  access: 'read',
  signedIn: false,
  connection: 'connecting',
}

const listeners = new Set()
/** Calls back when something of a kind (calls, destinations, connection, words) has changed. Returns what ends that. */
export function listen(kind, callback) {
  const one = { kind, callback }
  listeners.add(one)
  return () => listeners.delete(one)
}
const tell = (kind, detail) => { for (const one of [...listeners]) if (one.kind === kind) one.callback(detail) }

let events
let filter = {}
let retry
let wait = 1000

/** Has the server tell of all calls that the filter names, however many come in. */
export function follow(wanted) {
  if (events && JSON.stringify(wanted) === JSON.stringify(filter)) return
  filter = wanted
  connect()
}

function connect() {
  clearTimeout(retry)
  events?.close()
  events = new EventSource('/live/events' + query(filter))
  const on = (name, take) => events.addEventListener(name, (event) => take(JSON.parse(event.data)))
  events.addEventListener('open', () => {
    wait = 1000
    state('live')
  })
  events.addEventListener('error', () => {
    state('lost')
    if (events.readyState === EventSource.CLOSED) lost()
  })
  on('live', (words) => {
    // After a restart of the server the same places in the log may be told anew: what is held is told again.
    store.words = words
    tell('words')
  })
  on('calls', take)
  on('destinations', takeDestinations)
  on('overview', (overview) => {
    store.overview = overview
    tell('overview')
  })
}

/** The browser gives up where the server refuses: find out why, and try again. */
async function lost() {
  try {
    await readAccess()
  } catch {}
  retry = setTimeout(connect, wait)
  wait = Math.min(wait * 2, 15000)
}

function state(connection) {
  if (store.connection === connection) return
  store.connection = connection
  tell('connection')
}

function take(calls) {
  for (const call of calls) store.calls.set(call.id, call)
  if (store.calls.size > most) {
    const ordered = inOrder([...store.calls.values()])
    for (const call of ordered.slice(most)) store.calls.delete(call.id)
  }
  tell('calls', calls)
}

const place = (id) => id.split('.').map(Number)
/** The newest first. */
export function inOrder(calls) {
  return calls.sort((a, b) => {
    const [p, q] = [place(a.id), place(b.id)]
    return q[0] - p[0] || q[1] - p[1]
  })
}

function takeDestinations(destinations) {
  store.destinations = destinations
  const at = Date.now()
  for (const d of destinations) {
    const samples = store.samples.get(d.name) ?? []
    const delivered = ended(d, 'delivered')
    if (samples.length && samples.at(-1).delivered > delivered) samples.length = 0 // it was restarted
    samples.push({ at, delivered, backlog: d.backlog })
    if (samples.length > samplesKept) samples.shift()
    store.samples.set(d.name, samples)
  }
  tell('destinations')
}

/** How many calls have ended in one way. */
export const ended = (d, outcome) => d.outcomes.filter((o) => o.outcome === outcome).reduce((sum, o) => sum + o.count, 0)

/** Deliveries per second, over the last ten seconds; undefined while nobody can tell. */
export function rate(name) {
  const samples = (store.samples.get(name) ?? []).slice(-11)
  if (samples.length < 2) return undefined
  const [first, last] = [samples[0], samples.at(-1)]
  return (last.delivered - first.delivered) / ((last.at - first.at) / 1000)
}

/** The same, second by second. */
export function rates(name) {
  const samples = store.samples.get(name) ?? []
  return samples.slice(1).map((s, i) => Math.max((s.delivered - samples[i].delivered) / ((s.at - samples[i].at) / 1000), 0))
}

export async function readAccess() {
  const { access, signed_in } = await ask('/access')
  store.access = access
  store.signedIn = signed_in
  tell('access')
}
