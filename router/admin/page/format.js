// How times, numbers and states are shown.
import { copier, el, text, visible } from './dom.js'

const number = new Intl.NumberFormat('en')
export const count = (n) => number.format(n)

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB']
  let unit = 0
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024
    unit++
  }
  return `${n < 10 && unit > 0 ? n.toFixed(1) : Math.round(n)} ${units[unit]}`
}

/** A time span in seconds, in its two largest parts at most. */
export function span(seconds) {
  const s = Math.max(seconds, 0)
  if (s < 0.001) return '< 1 ms'
  if (s < 1) return `${Math.round(s * 1000)} ms`
  if (s < 10) return `${s.toFixed(1)} s`
  if (s < 60) return `${Math.floor(s)} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`
}

/** A time span in one part, for rows. */
export function age(seconds) {
  const s = Math.max(Math.floor(seconds), 0)
  if (s < 1) return 'now'
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min`
  if (s < 86400) return `${Math.floor(s / 3600)} h`
  return `${Math.floor(s / 86400)} d`
}

export const since = (at) => (Date.now() - new Date(at).getTime()) / 1000

const two = (n, digits = 2) => String(n).padStart(digits, '0')
export function clock(at) {
  const d = new Date(at)
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${two(d.getMilliseconds(), 3)}`
}

export function moment(at) {
  const d = new Date(at)
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`
}

/** Every state by a shape, a word and a colour. */
export const states = {
  waiting: ['⋯', 'waiting', 'wait'],
  queued: ['◦', 'queued', 'wait'],
  sending: ['→', 'sending', 'busy'],
  retrying: ['↻', 'retrying', 'warn'],
  parked: ['‖', 'parked', 'warn'],
  blocking: ['■', 'blocking', 'bad'],
  held: ['◫', 'held', 'warn'],
  delivered: ['✓', 'delivered', 'good'],
  would_send: ['✓', 'would send', 'calm'],
  dropped: ['−', 'dropped', 'calm'],
  dead: ['✕', 'dead', 'bad'],
}
const unread = ['·', 'not read yet', 'none', 'The destination has not come to this call yet, or was added to the config after it.']
const unrecorded = ['·', 'not recorded', 'none', 'This call came before the recording began, or was passed over at first. It may have ended here, or not been read yet.']

/** An explanation as a sentence. What stands between `backticks` is code. */
export const sentence = (words) => words && prose(words[0].toUpperCase() + words.slice(1) + '.')
export const prose = (words) => words.split('`').map((part, i) => (i % 2 ? el('code', {}, part) : part))

/** What the notes beside an outcome mean. */
const notes = {
  new_id_lost_in_browser: 'The SDK sent one id twice, so aka linked the device. The page may have named a new id, which the SDK did not send. Load aka.js in the page.',
  ignored_option: 'The vendor cannot read these options of the call. It gets the call without them.',
}

/** What a note means. Behind a colon it has what it is about. */
export const noteMeaning = (note) => notes[note.split(':')[0]]

/** What a step says in a few words. */
export const inShort = (step) => [result(step), step?.note].filter(Boolean).join(' · ')

function result(step) {
  if (!step) return ''
  switch (step.state) {
    case 'delivered': return [step.status || '', step.took_seconds ? span(step.took_seconds) : ''].filter(Boolean).join(' · ')
    case 'dropped':
    case 'dead': return step.reason ?? ''
    case 'retrying':
    case 'parked': return nextTry(step)
    case 'waiting': return step.behind ? `behind ${step.behind.type}` : ''
    case 'sending': return step.batch > 1 ? `with ${step.batch - 1} more` : ''
    case 'blocking':
    case 'held': return step.reason ?? ''
  }
  return ''
}

export function nextTry(step) {
  if (!step.next) return ''
  const left = -since(step.next)
  return left > 0 ? `again in ${age(left + 0.999)}` : 'again now'
}

/** A step of a call as a badge. Where there is none, it depends on the call what that means. */
export function badge(step, call) {
  const [shape, word, tone, title] = states[step?.state] ?? (call?.partial ? unrecorded : unread)
  return el(`span.badge.${tone}`, { title }, el('span.shape', { 'aria-hidden': 'true' }, shape), el('span.word', {}, word))
}

export const typeTag = (type) => el(`span.type.${type === 'alias' ? 'alias' : type === 'identify' || type === 'group' ? 'identity' : 'event'}`, {}, type)

/** A destination's state as a shape and a colour; its words come with it. */
const destinationStates = {
  ok: ['✓', 'good'],
  probing: ['?', 'warn'],
  down: ['✕', 'bad'],
  auth_failed: ['■', 'bad'],
  refusing: ['■', 'bad'],
  paused: ['‖', 'warn'],
  filling: ['▲', 'bad'],
  removed: ['−', 'warn'],
}

/** Whether somebody has to look after it. */
export const inTrouble = (destination) => destinationStates[destination.state]?.[1] === 'bad' || destination.blocking > 0

export function destinationBadge(destination) {
  const [shape, tone] = destinationStates[destination.state] ?? ['?', 'warn']
  return el(`span.badge.${tone}`, {}, el('span.shape', { 'aria-hidden': 'true' }, shape), el('span.word', {}, destination.state_name))
}

const pretty = (value) => JSON.stringify(value, null, 2)

/** JSON for people, to be copied as it is. */
export const json = (value) => el('div.copied', {}, el('pre.code', { tabindex: '0', dir: 'ltr', role: 'group', 'aria-label': 'JSON' }, visible(pretty(value))), copier(pretty(value)))

/** A request as it goes out, secrets masked. */
export function request(shown) {
  const rows = (title, fields) => fields && Object.keys(fields).length > 0 && [
    el('p.part', {}, title),
    el('dl.fields', {}, Object.keys(fields).sort().map((key) => [
      el('dt', {}, text(key)), el('dd', {}, text(typeof fields[key] === 'string' ? fields[key] : JSON.stringify(fields[key]))),
    ])),
  ]
  return el('div.request', {},
    el('p.line', {}, el('strong', {}, shown.method), ' ', text(shown.url)),
    rows('Query', shown.query), rows('Headers', shown.headers), rows('Form', shown.form),
    shown.json !== undefined && [el('p.part', {}, 'Body'), json(shown.json)],
    shown.text && [el('p.part', {}, 'Body'), el('pre.code', { tabindex: '0', role: 'group', 'aria-label': 'Body' }, visible(shown.text))])
}

/** What one destination would make of a call. The heading's level is one below what it stands under. */
export function explained(d, heading = 'h3') {
  const tone = { send: ['→', 'sends', 'good'], drop: ['−', 'drops it', 'calm'], reject: ['✕', 'cannot translate it', 'bad'] }[d.outcome] ?? ['?', d.outcome, 'warn']
  return el('section.card', {},
    el(heading, {}, text(d.name), ' ', el(`span.badge.${tone[2]}`, {}, el('span.shape', { 'aria-hidden': 'true' }, tone[0]), el('span.word', {}, tone[1]))),
    d.reason && el('p', {}, el('code', {}, d.reason), d.why ? [': ', prose(d.why + '.')] : ''),
    d.error && el('p.bad-text', {}, text(d.error)),
    d.note && el('p.hint', {}, d.note),
    d.transform?.length > 0 && el('p.hint', {}, 'Edited by ', el('code', {}, d.transform.join(', ')), '.'),
    d.diagnostics?.length > 0 && el('p.hint', {}, 'Odd: ', d.diagnostics.join(', ')),
    (d.requests ?? []).map(request))
}
