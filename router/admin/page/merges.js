// Merges: the aliases that wait for a decision, and what the ledger has of an id.
import { $, confirm, el, fill, input, notify, short, text } from './dom.js'
import { age, count, moment, since } from './format.js'
import { ask, query } from './api.js'
import { listen, store } from './store.js'

const page = 50

export function merges(root, { filters }) {
  let id = filters.id ?? ''
  let asked = 0
  let before = 0
  let shownAt = ''

  const summary = el('p.counts', { role: 'status' })
  const groups = el('ul.letters', { 'aria-label': 'Held aliases by destination, rule and source' })
  const ledger = el('ul.merges', { 'aria-label': 'The ledger, newest first' })
  const empty = el('div', { 'aria-live': 'polite' })
  const more = el('button', { type: 'button', hidden: true, onclick: () => look(true) }, 'Show more')
  root.append(
    el('h1', {}, 'Merges'),
    el('p.hint', {}, 'A merge cannot be undone at a vendor. An alias that a rule holds waits with the calls of both people.'),
    el('h2', {}, 'Waiting for a decision'), summary, groups,
    el('h2', {}, 'The ledger'),
    el('form.bar', { role: 'search', onsubmit: (event) => { event.preventDefault(); look() } },
      input('Id', id, (value) => { id = value.trim() }, { id: 'merges-id', type: 'search', placeholder: 'user or device, whole; empty for all', dir: 'auto' }),
      el('div.bar-end.near', {}, el('button.primary', { type: 'submit' }, 'Look'))),
    empty, ledger, more)

  async function load() {
    const turn = ++asked
    const now = new Date()
    try {
      const held = await ask('/merges/held/summary')
      if (turn !== asked) return
      // What is held later is not decided about unseen.
      shownAt = now.toISOString()
      summary.textContent = held.count === 0 ? 'No alias is held.' : `${count(held.count)} in all`
      fill(groups, held.held.map(group))
    } catch (error) {
      if (turn !== asked) return
      fill(groups)
      summary.textContent = error.message
    }
  }

  function group(one) {
    const examples = el('div.letter-more', { hidden: true })
    const toggle = el('button.quiet', { type: 'button', 'aria-expanded': 'false', onclick: () => unfold(one, toggle, examples) }, 'Examples')
    return el('li.letter', {},
      el('div.letter-head', {},
        el('div', {},
          el('p.letter-line', {}, el('strong', {}, text(one.destination)), ' ', el('span.badge.warn', {}, el('span.shape', { 'aria-hidden': 'true' }, '■'), el('span.word', {}, one.rule)), ' ', count(one.count), ' from ', text(one.source)),
          el('p.hint', {}, 'the oldest since ', el('time', { datetime: one.oldest, title: moment(one.oldest) }, age(since(one.oldest))))),
        el('div.buttons', {}, toggle,
          button(`Approve ${count(one.count)}`, 'primary', () => decide('approve', one)),
          button(`Refuse ${count(one.count)}`, 'danger', () => decide('refuse', one)))),
      examples)
  }

  const chosen = (one) => ({ destination: one.destination, rule: one.rule, source: one.source })

  async function unfold(one, toggle, examples) {
    const open = toggle.getAttribute('aria-expanded') !== 'true'
    toggle.setAttribute('aria-expanded', String(open))
    examples.hidden = !open
    if (!open) return
    try {
      const list = await ask('/merges/held' + query({ ...chosen(one), limit: 5 }))
      fill(examples, el('ul.merges', {}, list.held.map(evidence)), list.more && el('p.hint', {}, 'There are more.'))
    } catch (error) {
      fill(examples, el('p.refusal', { role: 'alert' }, error.message))
    }
  }

  async function decide(verb, one) {
    const words = verb === 'approve'
      ? { title: 'Approve these merges?', body: `${count(one.count)} aliases are sent to ${one.destination}. A merge cannot be undone there.`, yes: 'Approve', danger: true }
      : { title: 'Refuse these merges?', body: `${count(one.count)} aliases are dropped. The people stay apart at ${one.destination}, and their other calls are sent.`, yes: 'Refuse' }
    if (!await confirm(words)) return
    try {
      let decided = 0
      let before = shownAt
      while (before) { // one request decides about so many only
        const done = await ask(`/merges/${verb}` + query({ ...chosen(one), before }), { method: 'POST' })
        decided += done.count
        before = done.count > 0 && done.before
      }
      notify(`${verb === 'approve' ? 'Approved' : 'Refused'} ${count(decided)}`)
    } catch (error) {
      notify(error.message, true)
    }
    load()
    look()
  }

  let looked = 0
  async function look(further = false) {
    const turn = ++looked
    history.replaceState(null, '', '#/merges' + query({ id }))
    try {
      const found = await ask('/merges' + query({ id, limit: page, before: further ? before : undefined }))
      if (turn !== looked) return
      before = found.next
      more.hidden = !found.next
      const rows = found.merges.map((merge) => row(merge, found))
      if (further) ledger.append(...rows)
      else fill(ledger, rows)
      fill(empty, ledger.children.length === 0 && el('p.empty', {}, found.next ? 'Nothing yet: show more.' : id ? 'No merge of this id is in the ledger.' : 'The ledger is empty.'))
    } catch (error) {
      if (turn !== looked) return
      fill(ledger)
      more.hidden = true
      fill(empty, el('p.refusal', { role: 'alert' }, error.message))
    }
  }

  const button = (label, tone, onclick) => el(`button.${tone}.changes`, { type: 'button', onclick, disabled: store.access !== 'full', title: store.access !== 'full' ? 'Your token allows to read only' : undefined }, label)

  load()
  look()
  const end = listen('access', load)
  return { leave: () => { asked++; looked++; end() }, keys: { '/': () => $('merges-id').focus() } }
}

const ids = (n) => (n ? ` (${count(n)} ${n === 1 ? 'id' : 'ids'})` : '')

function evidence(held) {
  const person = (p) => [el('code', {}, p.digest.slice(0, 12)), ids(p.ids), p.user_since && [', a user since ', el('time', { datetime: p.user_since }, moment(p.user_since))]]
  return el('li', {}, person(held.from), ' into ', person(held.to), el('p.hint', {}, `message ${held.message_id}, ${count(held.waiting)} calls wait, ${count(held.alike_last_hour)} like it in the last hour`, held.partial && ', the people may be larger'))
}

const tones = { sent: 'good', approved: 'good', imported: 'good', observed: 'warn', held: 'warn', dropped: 'bad', refused: 'bad', expired: 'bad' }

/** One entry. An id is known only where it was asked for. */
function row(merge, found) {
  const name = (digest) => (found.digest && digest === found.digest ? short(found.id, 40) : el('code', { title: digest }, digest.slice(0, 12)))
  return el('li', {},
    el('time.age', { datetime: merge.time, title: moment(merge.time) }, age(since(merge.time))), ' ', el('strong', {}, text(merge.destination)), ' ',
    el(`span.badge.${tones[merge.verdict] ?? 'warn'}`, {}, el('span.word', {}, merge.verdict)), ' ',
    name(merge.from), ids(merge.from_ids), ' into ', name(merge.to), ids(merge.to_ids),
    el('span.hint', {}, [merge.dry && 'dry: nothing was sent', merge.rule, merge.reason, merge.may_be_sent && 'may be sent all the same', merge.status && `answered ${merge.status}`, merge.by && `by ${merge.by}`, merge.source].filter(Boolean).map((word) => [' · ', text(word)])))
}
