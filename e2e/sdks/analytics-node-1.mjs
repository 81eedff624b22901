import { Analytics } from 'analytics-node-1'
import { tellThrough } from './analytics.mjs'

await tellThrough(Analytics)
