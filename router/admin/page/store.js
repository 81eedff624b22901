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
  refusal: '', // why the server tells nothing, where it said so
  draining: { draining: false, waiting: {} },
}

const listeners = new Set()
/** Calls back when something of a kind (calls, destinations, connection, words, draining, overview, access, reloaded) has changed. Returns what ends that. */
export function listen(kind, callback) {
  const one = { kind, callback }
  listeners.add(one)
  return () => listeners.delete(one)
}
/** Tells those who listen for a kind. */
export const tell = (kind, detail) => { for (const one of [...listeners]) if (one.kind === kind) one.callback(detail) }

let events
let filter = {}
let retry
let wait = 1000
let told = new Set() // the calls that this connection told of

/** Has the server tell of all calls that the filter names, however many come in. */
export function follow(wanted) {
  if (events && JSON.stringify(wanted) === JSON.stringify(filter)) return
  filter = wanted
  connect()
}

function connect() {
  clearTimeout(retry)
  events?.close()
  told = new Set()
  events = new EventSource('/live/events' + query(filter))
  const on = (name, take) => events.addEventListener(name, (event) => take(JSON.parse(event.data)))
  events.addEventListener('open', () => {
    wait = 1000
    store.refusal = ''
    state('live')
  })
  events.addEventListener('error', () => {
    state('lost')
    if (events.readyState === EventSource.CLOSED) lost()
  })
  on('live', takeWords)
  on('calls', take)
  on('destinations', takeDestinations)
  on('draining', (draining) => {
    store.draining = draining
    tell('draining')
  })
  on('overview', takeOverview)
}

/** The browser gives up where the server refuses, and does not say why: find out, and try again. */
async function lost() {
  const looking = new AbortController()
  try {
    await readAccess()
    const response = await fetch('/live/events' + query(filter), { signal: looking.signal })
    if (!response.ok) refused(response.status, await response.json())
  } catch {}
  looking.abort()
  retry = setTimeout(connect, wait)
  wait = Math.min(wait * 2, 15000)
}

function refused(status, { message }) {
  // A link may name a destination that is gone. What arrives is filtered here too.
  if (status === 400) filter = {}
  else if (store.refusal !== message) {
    store.refusal = message
    tell('connection')
  }
}

function state(connection) {
  if (store.connection === connection) return
  store.connection = connection
  tell('connection')
}

/** Takes the names and words that the server knows. */
export function takeWords(words) {
  const { destinations, sources, types, states, reasons } = words
  const known = { destinations, sources, types, states, reasons }
  if (JSON.stringify(known) === JSON.stringify(store.words)) return
  store.words = known
  tell('words')
}

/** Where the recording has begun anew, the calls that had not ended get no more steps. */
function takeOverview(overview) {
  const anew = store.overview.since && overview.since !== store.overview.since
  store.overview = overview
  if (anew) {
    for (const [id, call] of store.calls) if (!told.has(id) && !hasEnded(call)) store.calls.delete(id)
    tell('calls', [])
  }
  tell('overview')
}

const hasEnded = (call) => call.destinations.length > 0 && call.destinations.every((s) => ['delivered', 'would_send', 'dropped', 'dead'].includes(s.state))

function take(calls) {
  for (const call of calls) {
    store.calls.set(call.id, call)
    told.add(call.id)
  }
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
    const delivered = ended(d, d.dry ? 'would_send' : 'delivered')
    if (samples.length && samples.at(-1).delivered > delivered) samples.length = 0 // it was restarted
    samples.push({ at, delivered, backlog: d.backlog })
    if (samples.length > samplesKept) samples.shift()
    store.samples.set(d.name, samples)
  }
  tell('destinations')
}

/** How many calls have ended in one way. */
export const ended = (d, outcome) => d.outcomes.filter((o) => o.outcome === outcome).reduce((sum, o) => sum + o.count, 0)

/** Deliveries per second, over the last ten seconds; undefined while that is unknown. */
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
