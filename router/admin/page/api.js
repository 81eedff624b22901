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
  const answer = await response.json().catch(() => ({}))
  if (!response.ok) throw Object.assign(new Error(answer.message ?? `the server answered ${response.status}`), { status: response.status, code: answer.code })
  return answer
}

/** The query of what has a value. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== '')
  return given.length ? '?' + new URLSearchParams(given) : ''
}
