// The states of a destination as a picture, with the one that it is in.
import { svg } from './dom.js'

/** Each state beside ok: its name, what leads there from ok, and what leads back. */
const rows = [
  ['down', 'down', 'exchanges fail in a row', ''],
  ['probing', 'probing', '', 'a call is accepted'],
  ['auth_failed', 'credentials refused', '401 or 403', 'credentials are accepted'],
  ['refusing', 'refuses every call', '402, 404 … to every call', 'another answer'],
  ['filling', 'backlog filling', 'calls wait for too long', 'the backlog shrinks'],
  ['paused', 'paused', 'pause', 'resume'],
  ['removed', 'removed', 'not in the config', 'in the config again'],
]
const [width, rowHeight, okWidth, boxLeft, boxHeight] = [430, 46, 54, 268, 30]

/** Draws the states. The one that the destination is in is marked. */
export function statePicture(destination) {
  const now = destination.state
  const height = rows.length * rowHeight
  const name = rows.find(([state]) => state === now)?.[1] ?? now
  return svg('svg', { class: 'states', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `The states of a destination. It is in the state ${name}.` },
    box(1, 8, okWidth, height - 16, 'ok', now === 'ok'),
    ...rows.flatMap((row, i) => rowOf(row, i * rowHeight + rowHeight / 2, now)),
    ...arrow(boxLeft + 40, rowHeight / 2 + boxHeight / 2 + 1, boxLeft + 40, rowHeight * 1.5 - boxHeight / 2 - 1),
    ...arrow(boxLeft + 110, rowHeight * 1.5 - boxHeight / 2 - 1, boxLeft + 110, rowHeight / 2 + boxHeight / 2 + 1))
}

function rowOf([state, name, there, back], y, now) {
  const [left, right] = [okWidth + 6, boxLeft - 5]
  const both = there && back
  const parts = [box(boxLeft, y - boxHeight / 2, width - boxLeft - 2, boxHeight, name, state === now)]
  if (there) parts.push(...arrow(left, both ? y - 4 : y, right, both ? y - 4 : y), label(left, right, y - 8, there))
  if (back) parts.push(...arrow(right, both ? y + 4 : y, left, both ? y + 4 : y), label(left, right, both ? y + 16 : y - 8, back))
  return parts
}

function box(x, y, w, h, name, isNow) {
  const shown = svg('text', { x: x + w / 2, y: y + h / 2, 'text-anchor': 'middle', 'dominant-baseline': 'central' })
  shown.textContent = name
  return svg('g', { class: isNow ? 'state now' : 'state' }, svg('rect', { x, y, width: w, height: h, rx: 7 }), shown)
}

function label(left, right, y, words) {
  const shown = svg('text', { class: 'way', x: (left + right) / 2, y, 'text-anchor': 'middle' })
  shown.textContent = words
  return shown
}

/** A line with a head at its second end. It is level or upright. */
function arrow(x1, y1, x2, y2) {
  const [dx, dy] = [Math.sign(x2 - x1), Math.sign(y2 - y1)]
  const [baseX, baseY] = [x2 - 6 * dx, y2 - 6 * dy]
  return [
    svg('line', { class: 'way', x1, y1, x2: baseX, y2: baseY }),
    svg('polygon', { class: 'way', points: `${x2},${y2} ${baseX + 3 * dy},${baseY + 3 * dx} ${baseX - 3 * dy},${baseY - 3 * dx}` }),
  ]
}
