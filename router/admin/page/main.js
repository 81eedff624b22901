// The page: which view is shown, what the keyboard does, and how the connection is.
import { $, el, fill, show } from './dom.js'
import { age, since } from './format.js'
import { listen, follow, readAccess, store } from './store.js'
import { ask } from './api.js'
import { live } from './live.js'
import { destinations } from './destinations.js'
import { dead } from './dead.js'
import { explain } from './explain.js'
import { identity } from './identity.js'

const views = { live, destinations, dead, explain, identity }
const titles = { live: 'Live', destinations: 'Destinations', dead: 'Dead letters', explain: 'Explain', identity: 'Identity' }
let leave
let keys = {}

/** Shows what the address names: #/view/argument?filters. */
function navigate() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const [name, ...rest] = path.split('/').filter(Boolean).map(decodeURIComponent)
  const view = Object.hasOwn(views, name ?? '') ? name : 'live'
  leave?.()
  const main = $('main')
  fill(main)
  main.className = `view-${view}`
  for (const link of $('nav').children) {
    if (link.dataset.view === view) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  document.title = `${rest[0] ? rest[0] + ' · ' : ''}${titles[view]} · aka`
  if (view !== 'live') follow({})
  const shown = views[view](main, { argument: rest[0], filters: Object.fromEntries(new URLSearchParams(query)) })
  leave = shown.leave
  keys = shown.keys ?? {}
  window.scrollTo(0, 0)
}

function connection() {
  const box = $('connection')
  const words = { connecting: ['◌', 'Connecting', 'wait'], live: ['●', 'Live', 'good'], lost: ['✕', 'Connection lost, trying again', 'bad'] }
  const [shape, word, tone] = words[store.connection]
  box.className = `connection ${tone}`
  fill(box, el('span.shape', { 'aria-hidden': 'true' }, shape), el('span.word', {}, word))
  if (store.overview.since) box.title = `Recording since ${age(since(store.overview.since))} ago. While nobody looks, nothing is recorded.`
}

function access() {
  document.body.classList.toggle('read-only', store.access !== 'full')
  const end = document.querySelector('.top-end')
  end.querySelector('.sign-out')?.remove()
  end.querySelector('.reader')?.remove()
  if (store.access === 'read') end.prepend(el('span.reader', { title: 'Your token allows to read only' }, 'read only'))
  if (store.signedIn) {
    end.append(el('button.quiet.sign-out', { type: 'button', onclick: signOut }, 'Sign out'))
  }
}

async function signOut() {
  await fetch('/logout', { method: 'POST', headers: { 'X-Aka-Admin': '1' } }).catch(() => {})
  location.assign('/login')
}

const shortcuts = [
  ['1 … 5', 'go to a view'],
  ['j or ↓, k or ↑', 'the next call or letter, the one before'],
  ['Enter', 'open it'],
  ['Esc', 'close it'],
  ['p', 'pause, or go on'],
  ['/', 'filter by id'],
  ['c', 'clear the filters'],
  ['Ctrl Enter', 'explain what is in the box'],
  ['?', 'this list'],
]

function help() {
  show('Keyboard', el('dl.keys', {}, shortcuts.map(([key, what]) => [el('dt', {}, el('kbd', {}, key)), el('dd', {}, what)])))
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
listen('overview', connection)
listen('access', access)

connection()
readAccess().catch(() => {})
ask('/live').then((words) => { store.words = words }).catch(() => {}).finally(navigate)
