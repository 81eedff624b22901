import { jitsuAnalytics } from '@jitsu/js'
import { host, tell, writeKey } from './driver.mjs'

let failure
// Its keys have two parts. The first is what aka knows.
const analytics = jitsuAnalytics({ host, writeKey: `${writeKey}:secret`, s2s: true, errorPolicy: (message) => (failure = message) })

await tell(async (calls) => {
  const reports = []
  for (const call of calls) {
    failure = undefined
    const sent = await send(call)
    reports.push({ messageId: (sent?.payload ?? sent)?.messageId, error: failure })
  }
  return reports
})

// The SDK is of one user, whom identify names; integrations have no place of their own.
function send({ type, ...call }) {
  const options = { context: call.integrations && { integrations: call.integrations } }
  switch (type) {
    case 'identify':
      return analytics.identify(call.userId, call.traits, options)
    case 'track':
      return analytics.track(call.event, call.properties, options)
    case 'page':
      return analytics.page({ name: call.name, ...call.properties }, options)
    case 'group':
      return analytics.group(call.groupId, call.traits, options)
  }
  throw new Error(`this SDK has no ${type}`)
}
