import { Analytics } from '@segment/analytics-node'
import { tellThrough } from './analytics.mjs'

await tellThrough(Analytics)
