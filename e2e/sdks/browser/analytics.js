// What the pages of Segment's SDK and of Customer.io's, which comes from it, have in common.

/** What the SDK gave up, as text. */
const failed = []

/** Loads an SDK, so that it sends to aka through its plugin, and returns once it is ready. */
async function startAnalytics(load, aka, plugin, options) {
  const [protocol, host] = aka.split('://')
  globalThis.analytics = load({ integrations: { [plugin]: { protocol, apiHost: `${host}/v1`, ...options } } })
  const [instance] = await analytics
  instance.on('error', ({ reason, ctx }) => failed.push(`${ctx?.event.event}: ${reason.message}`))
}

/** Tells the story, and returns what the SDK says of each call. */
async function tellStory(calls) {
  const told = await tell(analytics, calls)
  return told.map((context) => ({ messageId: context.event.messageId, error: context.failedDelivery()?.reason.message }))
}
