// The page: which view is shown, what the keyboard does, and how the connection is.
import { $, el, fill, notify, show, visible } from './dom.js'
import { age, inTrouble, since } from './format.js'
import { listen, follow, readAccess, store, takeWords } from './store.js'
import { ask } from './api.js'
import { live } from './live.js'
import { destinations } from './destinations.js'
import { dead } from './dead.js'
import { explain } from './explain.js'
import { identity } from './identity.js'
import { merges } from './merges.js'

const views = { live, destinations, dead, explain, identity, merges }
const titles = { live: 'Live', destinations: 'Destinations', dead: 'Dead letters', explain: 'Explain', identity: 'Identity', merges: 'Merges' }
let leave
let keys = {}
let title = 'aka'

/** Shows what the address names: #/view/argument?filters. */
function navigate() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const [name, ...rest] = path.split('/').filter(Boolean).map(decoded)
  const view = Object.hasOwn(views, name ?? '') ? name : 'live'
  leave?.()
  const main = $('main')
  fill(main)
  main.className = `view-${view}`
  for (const link of $('nav').children) {
    if (link.dataset.view === view) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  title = `${rest[0] ? visible(rest[0]) + ' · ' : ''}${titles[view]} · aka`
  alarm()
  if (view !== 'live') follow({})
  const shown = views[view](main, { argument: rest[0], filters: Object.fromEntries(new URLSearchParams(query)) })
  leave = shown.leave
  keys = shown.keys ?? {}
  window.scrollTo(0, 0)
}

/** Says in the tab and beside the view's name how many destinations somebody has to look after. */
function alarm() {
  const troubled = store.destinations.filter(inTrouble).length
  document.title = `${store.connection === 'lost' ? '✕ ' : troubled ? `(${troubled}) ` : ''}${title}`
  const link = $('nav').querySelector('[data-view=destinations]')
  link.querySelector('.alarm')?.remove()
  if (troubled) link.append(el('span.alarm', { title: 'Down, credentials refused, refusing every call, backlog filling, or calls blocked' }, String(troubled), el('span.visually-hidden', {}, ' in trouble')))
}

/** A part of the address; as it stands where it is not encoded well. */
function decoded(part) {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

function connection() {
  const box = $('connection')
  const words = { connecting: ['◌', 'Connecting', 'wait'], live: ['●', 'Live', 'good'], lost: ['✕', store.refusal ? 'Refused, trying again' : 'Lost, trying again', 'bad'] }
  const [shape, word, tone] = words[store.connection]
  box.className = `connection ${tone}`
  fill(box, el('span.shape', { 'aria-hidden': 'true' }, shape), el('span.word', {}, word))
  box.title = store.refusal || (store.connection === 'lost' ? 'The connection to aka is lost' : '')
  if (store.connection === 'lost' && store.refusal) notify(store.refusal, true)
  else if (store.connection === 'live' && store.overview.since) box.title = `Recording since ${age(since(store.overview.since))} ago. Nothing is recorded without an open page.`
}

function access() {
  document.body.classList.toggle('read-only', store.access !== 'full')
  const end = document.querySelector('.top-end')
  end.querySelector('.sign-out')?.remove()
  end.querySelector('.reader')?.remove()
  if (store.access === 'read') end.prepend(el('span.reader', { title: 'Your token allows to read only: the full one may change something' }, 'read only'))
  if (store.signedIn) {
    end.append(el('button.quiet.sign-out', { type: 'button', onclick: signOut }, 'Sign out'))
  }
}

async function signOut() {
  await fetch('/logout', { method: 'POST', headers: { 'X-Aka-Admin': '1' } }).catch(() => {})
  location.assign('/login')
}

const shortcuts = [
  [['1', '2', '3', '4', '5', '6'], 'go to a view'],
  [['j', '↓'], 'the next call or letter'],
  [['k', '↑'], 'the one before'],
  [['Enter'], 'open it'],
  [['Esc'], 'close it, go back, or leave a field'],
  [['p'], 'pause the calls, or go on'],
  [['/'], 'to the filter by id, or the box'],
  [['c'], 'clear the filters'],
  [['Ctrl', 'Enter'], 'explain what is in the box'],
  [['?'], 'this list'],
]

function help() {
  show('Keyboard', el('dl.keys', {}, shortcuts.map(([keys, what]) => [el('dt', {}, keys.map((key) => [el('kbd', {}, key), ' '])), el('dd', {}, what)])))
}

function typing(target) {
  return target.closest('input, textarea, select, dialog') !== null
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  if (typing(event.target)) {
    if (event.key === 'Escape' && !event.target.closest('dialog')) event.target.blur()
    return
  }
  const view = Object.keys(views)[Number(event.key) - 1]
  if (view) location.hash = `#/${view}`
  else if (event.key === '?') help()
  else if (keys[event.key]) keys[event.key](event)
  else return
  event.preventDefault()
})

$('help').addEventListener('click', help)
window.addEventListener('hashchange', navigate)
listen('connection', connection)
listen('connection', alarm)
listen('destinations', alarm)
listen('overview', connection)
listen('access', access)

connection()
readAccess().catch(() => {})
ask('/live').then(takeWords).catch(() => {}).finally(navigate)
