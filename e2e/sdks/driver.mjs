// What every driver has in common: it reads a story from stdin, each line an array of calls, has the SDK send them, and
// writes a line that says what the SDK itself reported of each of them, in order: {messageId, error}, where an error that is
// missing says that the SDK believes the call delivered. It is run as: node DRIVER URL WRITE_KEY BATCH_SIZE.
import { createInterface } from 'node:readline'

const [, , host, writeKey, batchSize] = process.argv

export { host, writeKey }

/** The calls in a line are as many as this. SDKs that batch send them as one. */
export const size = Number(batchSize)

// SDKs say on the console what they think. Only reports go to stdout.
globalThis.console = new console.Console(process.stderr)

/**
 * Tells the story and returns at its end. A line is not begun before all of the one before was reported: SDKs that send over
 * several connections at once keep no order between batches.
 */
export async function tell(send) {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await send(JSON.parse(line))) + '\n')
  }
}
