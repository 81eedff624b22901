import { Analytics } from '@customerio/cdp-analytics-node'
import { tellThrough } from './analytics.mjs'

await tellThrough(Analytics)
