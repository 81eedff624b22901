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

/** Loads aka.js from aka as a page of another site does that checks what it loads, by its hash if it has one. */
function loadAkaJS(aka, integrity = '') {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script')
    script.src = `${aka}/aka.js`
    script.crossOrigin = 'anonymous'
    script.integrity = integrity
    script.onload = () => resolve()
    script.onerror = () => reject(new Error(`${script.src} does not come`))
    document.head.append(script)
  })
}

/** Makes the calls at once, each [method, ...arguments], and returns once the SDK has ended with all. */
function callAll(calls) {
  return Promise.allSettled(calls.map(([method, ...args]) => analytics[method](...args))).then((all) => all.map(({ status }) => status))
}

/** Ways to give arguments, with those left out that may be: f is a callback, o are options. */
const forms = (f, o) => [
  ['identify', 'u1'],
  ['identify', 'u1', { plan: 'pro' }],
  ['identify', 'u1', { plan: 'pro' }, o],
  ['identify', 'u1', { plan: 'pro' }, o, f],
  ['identify', 'u1', { plan: 'pro' }, f],
  ['identify', 'u1', f],
  ['identify', { plan: 'free' }],
  ['identify', { plan: 'free' }, o],
  ['identify', { plan: 'free' }, o, f],
  ['identify', { plan: 'free' }, f],
  ['identify', 507],
  ['group', 'g1'],
  ['group', 'g1', { seats: 3 }],
  ['group', 'g1', { seats: 3 }, o, f],
  ['group', 'g1', f],
  ['group', { seats: 4 }, o],
  ['track', 'Bought'],
  ['track', 'Bought', { price: 1 }],
  ['track', 'Bought', { price: 1 }, o],
  ['track', 'Bought', { price: 1 }, o, f],
  ['track', 'Bought', { price: 1 }, f],
  ['track', 'Bought', f],
  ['track', 'Bought', null, o],
  ['track', 'Bought', undefined, o, f],
  ['track', { event: 'Bought', properties: { price: 1 } }],
  ['track', { event: 'Bought', properties: { price: 1 } }, o],
  ['track', { event: 'Bought' }, f],
  ['page'],
  ['page', f],
  ['page', 'Home'],
  ['page', 'Docs', 'Home'],
  ['page', undefined, 'Home', { tab: 1 }],
  ['page', 'Home', { tab: 1 }],
  ['page', 'Home', { tab: 1 }, o],
  ['page', 'Docs', 'Home', { tab: 1 }, o, f],
  ['page', 'Docs', 'Home', f],
  ['page', { tab: 1 }],
  ['page', { tab: 1 }, o],
  ['screen', 'Home', { tab: 1 }, o, f],
  ['screen', 'Docs', 'Home'],
  ['alias', 'u2', 'u1'],
  ['alias', 'u2', 'u1', o],
  ['alias', 'u2', 'u1', o, f],
  ['alias', 'u2', 'u1', f],
  ['alias', 'u2', f],
  ['alias', 'u2', o],
  ['alias', 507, 508],
]

/** Calls in every form, one after the other. Returns what the SDK makes of each, and how often it called back. */
async function callForms() {
  const made = []
  for (let i = 0; i < forms().length; i++) {
    let calledBack = 0
    const options = { integrations: { All: true, Vero: false }, context: { campaign: { name: 'spring' } } }
    const [method, ...args] = forms(() => calledBack++, options)[i]
    const { event } = await analytics[method](...args)
    const { aka, ...context } = event.context ?? {}
    made.push({ method, event: { ...event, context, messageId: '', timestamp: '', anonymousId: '' }, aka, calledBack })
  }
  return made
}
