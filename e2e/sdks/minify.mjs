// Makes aka.min.js of aka.js, and with --check says whether it is made of it.
import { readFile, writeFile } from 'node:fs/promises'
import { minify } from 'terser'

const source = new URL('../../router/ingress/akajs/aka.js', import.meta.url)
const target = new URL('../../router/ingress/akajs/aka.min.js', import.meta.url)

const { code } = await minify(await readFile(source, 'utf8'), {
  ecma: 2020,
  compress: { passes: 3, unsafe_arrows: true },
  format: { preamble: '// aka.js: docs/sdks.md of aka says what it does' },
})
const made = code + '\n'
if (process.argv.includes('--check')) {
  if (made !== (await readFile(target, 'utf8'))) {
    console.error('aka.min.js is not made of aka.js: run node e2e/sdks/minify.mjs')
    process.exit(1)
  }
} else {
  await writeFile(target, made)
}
