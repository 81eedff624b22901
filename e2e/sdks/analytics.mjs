// The API that Segment's Node SDK and Customer.io's, which comes from it, have in common.
import { host, size, tell, writeKey } from './driver.mjs'

/** Tells the story through an SDK's class. */
export async function tellThrough(Analytics) {
  const analytics = new Analytics({ host, writeKey, maxEventsInBatch: size })
  analytics.on('error', () => {}) // each call's callback says it too
  await tell((calls) => Promise.all(calls.map((call) => sendOne(analytics, call))))
  await analytics.closeAndFlush()
}

function sendOne(analytics, { type, ...call }) {
  return new Promise((resolve) => {
    analytics[type](call, (error, sent) => resolve({ messageId: sent.event.messageId, error: error && String(error) }))
  })
}
