// A headless Chromium for the tests in Go: each line that comes in is a command, each line that goes out what came of it. It
// ends when its input does. What pages ask for and say goes to stderr, for a test that fails.
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'

/** How long the browser may take for anything, in milliseconds: machines are slow. The test ends it before. */
const timeout = 1_800_000

const browser = await chromium.launch({
  timeout,
  executablePath: '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    // No name is looked up: what a page asks of another host fails at once, wherever the tests run.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
  ],
})

/** The origins that pages asked for anything. */
const asked = new Set()

/** What went wrong in pages: errors that nobody caught, and what their policy forbade. */
const wrong = []

/** One page at a time, in a profile of its own. */
class Tab {
  async visit(url) {
    this.context ??= await newContext()
    this.page ??= await this.context.newPage()
    await this.page.goto(url)
  }

  evaluate(expression) {
    return this.page.evaluate(expression)
  }

  press(key) {
    return this.page.keyboard.press(key)
  }

  resize([width, height]) {
    return this.page.setViewportSize({ width, height })
  }

  /** Fills in a form's field, sends it, and waits for the page that comes of it. */
  async submit([field, value]) {
    await this.page.fill(field, value)
    await Promise.all([this.page.waitForNavigation(), this.page.press(field, 'Enter')])
  }

  /** Light or dark. */
  scheme(colorScheme) {
    return this.page.emulateMedia({ colorScheme })
  }

  /** What keeps people from using the page, by the rules of axe. */
  async barriers() {
    await this.page.evaluate(await readFile(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8'))
    const { violations } = await this.page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }))
    return violations.flatMap((v) => v.nodes.map((node) => `${v.id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`))
  }

  /** The profile stays, with what the page left in it. */
  async close() {
    await this.page.close({ runBeforeUnload: true })
    this.page = undefined
  }
}

async function newContext() {
  const context = await browser.newContext()
  context.setDefaultTimeout(timeout)
  context.on('request', (request) => {
    asked.add(new URL(request.url()).origin)
    console.error(request.method(), request.url(), (request.postData() ?? '').slice(0, 2000))
  })
  context.on('console', (message) => {
    console.error(message.text())
    if (message.text().includes('Content Security Policy')) wrong.push(message.text())
  })
  context.on('weberror', (event) => {
    console.error(event.error())
    wrong.push(String(event.error()))
  })
  return context
}

const tabs = {}

async function carryOut({ tab, command, argument }) {
  if (command === 'asked') return [...asked]
  if (command === 'wrong') return wrong
  tabs[tab] ??= new Tab()
  return tabs[tab][command](argument)
}

for await (const line of createInterface({ input: process.stdin })) {
  const outcome = await carryOut(JSON.parse(line)).then(
    (value) => ({ value }),
    (error) => ({ error: error.message }),
  )
  process.stdout.write(JSON.stringify(outcome) + '\n')
}
await browser.close()
