// Elements, made of untrusted values: every text goes in as text.

/** Makes an element. Properties are attributes, but for on… (listeners) and text. Children are nodes, texts, or nothing. */
export function el(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split('.')
  const element = document.createElement(name)
  if (classes.length) element.className = classes.join(' ')
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value)
    else if (key === 'value') element.value = value
    else element.setAttribute(key, value === true ? '' : String(value))
  }
  return fill(element, children)
}

/** Puts children into an element, in the place of those that it has. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false))
  return element
}

/**
 * Makes an element look like another, and keeps what can stay: a click that has begun and the focus stay.
 * Nodes stay where tag, id and data-key are the same; their listeners stay too, so those must do for both.
 */
export function morph(old, next) {
  if (!alike(old, next)) {
    old.replaceWith(next)
    return
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data) old.data = next.data
    return
  }
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && !(name === 'open' && old.nodeName === 'DETAILS')) old.removeAttribute(name)
  for (const { name, value } of [...next.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  morphChildren(old, [...next.childNodes])
}

export function morphChildren(parent, children) {
  const wanted = children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false)
  const known = [...parent.childNodes]
  wanted.forEach((child, i) => {
    const node = typeof child === 'string' ? document.createTextNode(child) : child
    if (i < known.length) morph(known[i], node)
    else parent.append(node)
  })
  for (const node of known.slice(wanted.length)) node.remove()
}

const keyOf = (node) => node.id || node.dataset?.key
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.nodeType !== Node.ELEMENT_NODE || keyOf(a) === keyOf(b))

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value))
  element.append(...children)
  return element
}

/** Others' text as it is: what cannot be seen is named, and what would change the direction of the text does not. */
export const visible = (value) => String(value).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (c) => (c === '\n' || c === '\t' ? c : `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`))

/** The same as an element, kept from changing the direction of what stands around it. */
export const text = (value) => el('bdi', {}, visible(value))

/** The same, shortened in the middle; the whole is in the title. */
export function short(value, most = 22) {
  const whole = visible(value)
  const letters = Array.from(whole)
  if (letters.length <= most) return el('bdi', { title: whole }, whole)
  const head = Math.ceil(most * 0.6)
  return el('bdi', { title: whole }, letters.slice(0, head).join('') + '…' + letters.slice(head - most + 1).join(''))
}

export const $ = (id) => document.getElementById(id)

/** A button that copies a text. */
export const copier = (value) => el('button.quiet.copy', { type: 'button', 'data-text': value, onclick: (event) => copy(event.currentTarget) }, 'Copy')

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.text)
  } catch {
    // Without https, browsers leave only the old way.
    const box = el('textarea.visually-hidden', { value: button.dataset.text, readonly: true })
    button.after(box)
    box.select()
    document.execCommand('copy')
    box.remove()
    button.focus()
  }
  notify('Copied')
}

/** A choice. Options are values, or pairs of a value and what is shown. */
export function select(label, options, value, onchange, properties = {}) {
  const choices = options.map((option) => (Array.isArray(option) ? option : [option, option]))
  if (value && !choices.some(([known]) => known === value)) choices.push([value, value])
  const box = el('select', { onchange: () => onchange(box.value), ...properties }, choices.map(([key, shown]) => el('option', { value: key }, shown)))
  box.value = value ?? ''
  return el('label.field', {}, el('span', {}, label), box)
}

export function input(label, value, oninput, properties = {}) {
  const box = el('input', { value: value ?? '', oninput: () => oninput(box.value), autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', ...properties })
  return el('label.field', {}, el('span', {}, label), box)
}

/** Asks before something is done that cannot be undone, and resolves with the answer. */
export function confirm({ title, body, yes, danger = false }) {
  const dialog = $('dialog')
  return new Promise((resolve) => {
    let answer = false
    const closed = () => {
      if (dialog.open) return // this was the end of the one before
      dialog.removeEventListener('close', closed)
      resolve(answer)
    }
    fill(dialog,
      el('form', { method: 'dialog' },
        el('h2', { id: 'dialog-title' }, title), el('p', {}, body),
        el('div.buttons', {}, el('button', { autofocus: true }, 'Cancel'), el(danger ? 'button.danger' : 'button.primary', { onclick: () => { answer = true } }, yes))))
    dialog.addEventListener('close', closed)
    dialog.showModal()
  })
}

/** Shows something in the dialog, to be closed. */
export function show(title, ...content) {
  const dialog = $('dialog')
  fill(dialog,
    el('form', { method: 'dialog' }, el('h2', { id: 'dialog-title' }, title), content, el('div.buttons', {}, el('button.primary', { autofocus: true }, 'Close'))))
  dialog.showModal()
}

let noticeTimer
/** Says how something went. */
export function notify(message, bad = false) {
  const box = $('notice')
  box.className = bad ? 'notice shown bad' : 'notice shown'
  box.textContent = message
  clearTimeout(noticeTimer)
  noticeTimer = setTimeout(() => { box.className = 'notice' }, bad ? 10000 : 5000)
}
