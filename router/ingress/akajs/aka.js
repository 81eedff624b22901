// Puts what the page says into context.aka of each call of Segment's SDK, which reads its stored user only when it sends:
//
//	seq   the page's clock when the code called, in microseconds since 1970; strictly rising
//	to    of an alias: its first argument
//	from  of an alias: its second argument, else the stored user, else the stored anonymous id, when the code called
//	anon  of an alias: true where from is not a user
//
// It takes analytics-next, analytics.js and Customer.io's cdp-analytics-browser, loaded or not, and the array of their snippets.
// Nothing that fails here may keep a call from the SDK. e2e/sdks/minify.mjs makes aka.min.js of this file.
;(() => {
  if (window.aka) return
  const names = ['alias', 'identify', 'group', 'track', 'page', 'screen', 'reset']
  const wrapped = new WeakSet()
  let current = window.analytics
  let last = 0
  // What the code called before the SDK was there: it has stored nothing of it yet.
  let identified, wasReset

  const isObject = (v) => v && typeof v === 'object'
  const id = (v) => ((typeof v === 'string' || typeof v === 'number') && v) || undefined

  // The exact clock goes on from when the page was loaded. Where the machine has slept since, or its clock was set, it is not
  // the one that other tabs go by.
  const seq = () => {
    const exact = performance.timeOrigin + performance.now()
    const now = Date.now()
    return (last = Math.max(last + 1, Math.floor((Math.abs(now - exact) < 1000 ? exact : now) * 1000)))
  }

  // The SDK's texts are JSON in the local storage, and mostly bare in cookies. One of digits must not become a number.
  const text = (v) => (/^"|^null$/.test(v) ? JSON.parse(v) : v)

  // The stored user, or the stored anonymous id: the SDK's own word, or else what it would read once it is there.
  const stored = (analytics, user) => {
    try {
      const known = (analytics.then ? analytics.instance : analytics).user()
      return id(user ? known.id() : known.anonymousId())
    } catch {}
    if ((user && identified) || wasReset) return id(user && identified)
    const key = user ? 'ajs_user_id' : 'ajs_anonymous_id'
    let cookie, local
    try {
      cookie = text(decodeURIComponent(document.cookie.match(`(?:^|; )${key}=([^;]*)`)[1]))
    } catch {}
    try {
      local = text(localStorage[key])
    } catch {}
    return id((user && local) || cookie || local)
  }

  // The arguments with a stamp in their options. Those that may be left out are filled in where the options come behind them;
  // a callback, and the page that a snippet notes behind all, stay last.
  const stamp = (analytics, name, all) => {
    try {
      if (name === 'reset') (wasReset = true), (identified = undefined)
      if (name === 'identify') identified = id(all[0]) || identified
      if (name === 'reset' || (name === 'group' && !all.length)) return all
      let end = all.findIndex((v) => typeof v === 'function' || (v && v.__t))
      if (end < 0) end = all.length
      const aka = { seq: seq() }
      const own = all.slice(0, end)
      let options, args
      if (name === 'alias') {
        const from = id(own[1])
        const user = from || stored(analytics, true)
        aka.to = id(own[0])
        aka.from = user || stored(analytics)
        aka.anon = !user || undefined
        options = own.slice(1).find(isObject)
        args = [own[0], from]
      } else {
        // Up to two texts, then an object of properties or traits.
        const texts = name === 'page' || name === 'screen' ? 2 : 1
        let i = 0
        while (i < texts && i < end && !isObject(own[i])) i++
        options = own[i + 1]
        args = [...own.slice(0, i).map((v) => v ?? undefined), own[i] || {}]
      }
      const context = (options && options.context) || {}
      if (!context.aka) return [...args, { ...options, context: { ...context, aka } }, ...all.slice(end)]
    } catch {}
    return all
  }

  const wrap = (analytics) => {
    try {
      if (wrapped.has(analytics)) return analytics
      wrapped.add(analytics)
      if (Array.isArray(analytics)) {
        // A snippet's, until the SDK takes its place: calls wait in it as [method, ...arguments].
        const push = analytics.push
        const stamped = (v) => (names.includes(v && v[0]) ? [v[0], ...stamp(analytics, v[0], v.slice(1))] : v)
        analytics.forEach((v, i) => (analytics[i] = stamped(v)))
        analytics.push = (...items) => push.apply(analytics, items.map(stamped))
      } else {
        for (const name of names) {
          const method = analytics[name]
          if (method) analytics[name] = (...all) => method.apply(analytics, stamp(analytics, name, all))
        }
        // What an AnalyticsBrowser becomes.
        if (analytics.then) analytics.then(([instance]) => wrap(instance), () => {})
      }
    } catch {}
    return analytics
  }

  window.aka = wrap
  wrap(current)
  try {
    Object.defineProperty(window, 'analytics', { configurable: true, get: () => current, set: (v) => (current = wrap(v)) })
  } catch {}
})()
