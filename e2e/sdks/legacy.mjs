// The API that Segment's older Node SDK and RudderStack's, which comes from it, have in common.
import { gunzipSync } from 'node:zlib'
import { host, size, tell, writeKey } from './driver.mjs'

/** Tells the story through an SDK's class. Without an errorHandler a batch that is given up ends the process. */
export async function tellThrough(Analytics, options) {
  const analytics = new Analytics(writeKey, { ...options, host, flushAt: size, errorHandler: () => {} })
  let isFirst = true
  await tell(async (calls) => {
    const reports = []
    if (isFirst) {
      // These SDKs send their first call at once and alone. The others wait for it, or they may overtake it.
      isFirst = false
      reports.push(...(await sendBatch(analytics, calls.splice(0, 1))))
    }
    return [...reports, ...(await sendBatch(analytics, calls))]
  })
}

async function sendBatch(analytics, calls) {
  if (calls.length === 0) return []
  const ends = calls.map(
    ({ type, ...call }) => new Promise((resolve) => analytics[type](call, (error, sent) => resolve({ error, sent }))),
  )
  analytics.flush()
  // Each call is reported with the batch that it went in.
  const ended = await Promise.all(ends)
  return ended.map(({ error, sent }, i) => ({ messageId: batchOf(sent)[i].messageId, error: error && String(error) }))
}

function batchOf(sent) {
  return (Buffer.isBuffer(sent) ? JSON.parse(gunzipSync(sent)) : sent).batch
}
