// What is asked of the server.

/** Asks, and returns the answer. The error of a refusal says what the server said. */
export async function ask(path, { method = 'GET', body } = {}) {
  const headers = { Accept: 'application/json' }
  if (method !== 'GET') headers['X-Aka-Admin'] = '1'
  const response = await fetch(path, { method, body, headers, credentials: 'same-origin' })
  if (response.status === 401) {
    location.assign('/login')
    throw new Error('signed out')
  }
  const answer = await response.text().then(read).catch(() => ({}))
  if (!response.ok) throw Object.assign(new Error(answer.message ?? `the server answered ${response.status}`), { status: response.status, code: answer.code })
  return answer
}

/** Reads JSON. A number that would become another one here stays as it is written, for JSON.stringify, where the browser can do that. */
function read(text) {
  if (!JSON.rawJSON) return JSON.parse(text)
  return JSON.parse(text, (key, value, { source }) => (typeof value === 'number' && digits(String(value)) !== digits(source) ? JSON.rawJSON(source) : value))
}

const digits = (number) => number.replace(/e.*/i, '').replace(/[-.]/g, '').replace(/^0+|0+$/g, '')

/** The query of what has a value. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== '')
  return given.length ? '?' + new URLSearchParams(given) : ''
}
