// A receiver of webhooks that verifies each request with the library of Standard Webhooks. Its first line is its URL. Each further
// line is a request: {id, timestamp, signatures, authorization, body, error, status}, where error is what the library says.
//
// It reads lines: {"secret": "whsec_…"} sets the secret that it verifies with, {"answers": [503, 0]} what it answers to the next
// requests, where 0 cuts the connection after the body was read. Otherwise it answers 204, or 401 where the library refuses. It confirms
// each line with {}.
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { Webhook } from 'standardwebhooks'

let verifier
let answers = []

const write = (line) => process.stdout.write(JSON.stringify(line) + '\n')

function problem(body, headers) {
  try {
    verifier.verify(body, headers)
  } catch (error) {
    return String(error)
  }
}

const server = createServer((request, response) => {
  const parts = []
  request.on('data', (part) => parts.push(part))
  request.on('end', () => {
    const body = Buffer.concat(parts) // as it came: a body that was parsed and written again has another signature
    const error = problem(body, request.headers)
    const status = answers.length > 0 ? answers.shift() : error ? 401 : 204
    const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature = '', authorization } = request.headers
    write({ id, timestamp, signatures: signature.split(' '), authorization, body: String(body), error, status })
    if (status === 0) return request.socket.destroy()
    if (status === 503) response.setHeader('Retry-After', '1')
    response.writeHead(status).end()
  })
})

server.listen(0, '127.0.0.1', async () => {
  write({ url: `http://127.0.0.1:${server.address().port}/aka` })
  for await (const line of createInterface({ input: process.stdin })) {
    const set = JSON.parse(line)
    if (set.secret) verifier = new Webhook(set.secret)
    if (set.answers) answers = set.answers
    write({})
  }
  server.close()
  server.closeAllConnections()
})
