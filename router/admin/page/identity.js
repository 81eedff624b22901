// What is known of one id: the merges that are remembered, and the calls that touched it lately.
import { $, el, fill, input, short, text } from './dom.js'
import { age, badge, moment, since, typeTag } from './format.js'
import { ask, query } from './api.js'

export function identity(root, { filters }) {
  let id = filters.id ?? ''
  let turn = 0
  const result = el('div', { 'aria-live': 'polite' })
  const look = async () => {
    const now = ++turn
    history.replaceState(null, '', '#/identity' + query({ id }))
    if (!id) return fill(result, el('p.empty', {}, 'Type an id: a userId, an anonymousId or a previousId, as it was sent.'))
    try {
      const known = await ask('/identity' + query({ id }))
      if (now === turn) fill(result, ...shown(known, (other) => { id = other; $('identity-id').value = other; look() }))
    } catch (error) {
      if (now === turn) fill(result, el('p.refusal', { role: 'alert' }, error.message))
    }
  }
  root.append(
    el('h1', {}, 'Identity'),
    el('p.hint', {}, 'The ids that an id was merged with, where remember_merges is on, and the calls that touched it since this page was opened.'),
    el('form.bar', { role: 'search', onsubmit: (event) => { event.preventDefault(); look() } },
      input('Id', id, (value) => { id = value.trim() }, { id: 'identity-id', type: 'search', dir: 'auto' }),
      el('div.bar-end.near', {}, el('button.primary', { type: 'submit' }, 'Look'))),
    result)
  look()
  return { leave: () => { turn++ }, keys: { '/': () => $('identity-id').focus() } }
}

const rules = {
  joins: ['and', 'are one person'],
  gives: ['belongs to', ''],
  names: ['is another name of', ''],
  renames: ['was renamed to', ''],
}

const named = (destinations, words) => destinations.length > 0 && el('p.hint', {}, words, text(destinations.map((d) => d.destination).join(', ')), '.')

function shown(known, look) {
  const name = (end) => end.id !== undefined
    ? el('button.link', { type: 'button', onclick: () => look(end.id) }, short(end.id, 40))
    : el('span.unknown', { title: 'Only a digest of it is remembered. A call that carries it would tell' }, `unknown ${end.digest.slice(0, 8)}…`)
  return [
    el('h2', {}, 'Merges'),
    known.destinations.filter((d) => d.merges.length > 0).map((d) => el('section.card', {},
      el('h3', {}, text(d.destination)),
      el('ul.merges', {}, d.merges.map((m) => {
        const [middle, end] = rules[m.rule] ?? [m.rule, '']
        return el('li', {}, name(m.from), ` ${middle} `, name(m.to), end && ` ${end}`)
      })),
      d.more && el('p.hint', {}, 'There are more.'))),
    named(known.destinations.filter((d) => d.remembers && d.merges.length === 0), 'No merge of it is remembered at '),
    named(known.destinations.filter((d) => !d.remembers), 'None is ever remembered (remember_merges is off, or the vendor merges nothing) at '),
    el('h2', {}, 'Calls that touched it'),
    known.calls.length === 0
      ? el('p.hint', {}, 'None since this page was opened.')
      : el('ul.touches', {}, known.calls.map((call) => el('li', {},
        el('span.age', { title: moment(call.received_at) }, age(since(call.received_at))), typeTag(call.type),
        call.type === 'alias' ? el('span', {}, short(call.previous_id ?? '?'), ' → ', short(call.user_id ?? '?')) : short(call.name || call.user_id || call.anonymous_id || '', 40),
        el('span.outcomes', {}, call.destinations.toSorted((a, b) => a.destination.localeCompare(b.destination)).map((s) => el('span.outcome', {}, el('span.at', {}, text(s.destination)), badge(s))))))),
    el('p', {}, el('a', { href: `#/live?id=${encodeURIComponent(known.id)}` }, 'Watch this id live'), ' · ', el('a', { href: `#/dead?id=${encodeURIComponent(known.id)}` }, 'Its dead letters')),
  ].flat().filter(Boolean)
}
