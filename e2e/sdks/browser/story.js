// Tells a story, calls in the words of Segment's specification, through an SDK whose API is that of analytics.js. Each call
// waits for the one before it: where every call is a request of its own, nothing else keeps them in order. What the SDK made
// of each call is what comes of it.
async function tell(analytics, calls) {
  const told = []
  for (const call of calls) told.push(await tellOne(analytics, call))
  return told
}

async function tellOne(analytics, { type, integrations, ...call }) {
  const options = integrations ? { integrations } : {}
  switch (type) {
    case 'identify':
      return analytics.identify(call.userId, call.traits, options)
    case 'group':
      return analytics.group(call.groupId, call.traits, options)
    case 'track':
      return analytics.track(call.event, call.properties, options)
    case 'alias':
      // Segment's SDK takes the user that it knows for the alias's userId, whatever the page says. So it must know none.
      await analytics.reset()
      return analytics.alias(call.userId, call.previousId, options)
    default:
      return analytics[type](call.name, call.properties, options)
  }
}
