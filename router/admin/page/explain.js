// What each destination would be sent for a call, without sending it.
import { el, fill, select, text } from './dom.js'
import { explained, typeTag } from './format.js'
import { ask, query } from './api.js'
import { store } from './store.js'

const examples = {
  alias: { type: 'alias', previousId: 'jen@email.com', userId: '507f191e81' },
  identify: { type: 'identify', userId: '507f191e81', traits: { email: 'jen@email.com', plan: 'pro' } },
  track: { type: 'track', userId: '507f191e81', event: 'Item Purchased', properties: { price: 39.95 } },
}
let written = '' // what the box held when the view was left

export function explain(root) {
  let source = store.words.sources[0] ?? ''
  let device = ''
  const box = el('textarea', { id: 'explain-body', spellcheck: 'false', rows: '12', 'aria-label': 'A call, a batch or an array of calls, as JSON', placeholder: '{ "type": "alias", "previousId": …, "userId": … }', value: written, dir: 'ltr' })
  const result = el('div.explanation', { 'aria-live': 'polite' })
  const run = async () => {
    try {
      const explanation = await ask('/explain' + query({ source, device }), { method: 'POST', body: box.value })
      fill(result, ...explanation.calls.map(oneCall))
      if (explanation.calls.length === 0) fill(result, el('p.empty', {}, 'It holds no call.'))
    } catch (error) {
      fill(result, el('p.refusal', { role: 'alert' }, el('strong', {}, 'It would be refused: '), text(error.message)))
    }
  }
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) run()
  })
  root.append(
    el('h1', {}, 'Explain'),
    el('p.hint', {}, 'Paste a call, or a batch of them, and see what each destination would be sent for it, or why nothing. Nothing is sent.'),
    el('form.explain-form', { onsubmit: (event) => { event.preventDefault(); run() } },
      box,
      el('div.bar', {},
        store.words.sources.length > 1 && select('Source', [...store.words.sources, ['', 'by the write key in it']], source, (value) => { source = value }),
        select('Sent by', [['', 'a server'], ['true', 'a browser or a phone']], device, (value) => { device = value }),
        el('div.buttons', {}, el('button.primary', { type: 'submit' }, 'Explain'),
          Object.keys(examples).map((name) => el('button.quiet', { type: 'button', onclick: () => { box.value = JSON.stringify(examples[name], null, 2); run() } }, `An example ${name}`))))),
    result)
  return { leave: () => { written = box.value }, keys: { '/': () => box.focus() } }
}

function oneCall(call) {
  return el('section.explained-call', {},
    el('h2', {}, call.type ? typeTag(call.type) : 'Call', ' ', el('span.hint', {}, `call ${call.index + 1}`), call.message_id && el('span.hint', {}, ' · ', text(call.message_id))),
    call.rejected && el('p.refusal', {}, el('strong', {}, 'It would be refused at the door: '), text(call.rejected.message)),
    call.warnings?.map((warning) => el('p.hint', {}, el('strong', {}, `Warning ${warning.code}: `), text(warning.message))),
    el('div.cards.explained', {}, call.destinations.map((d) => explained(d))))
}
