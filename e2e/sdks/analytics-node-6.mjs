import Analytics from 'analytics-node'
import { tellThrough } from './legacy.mjs'

await tellThrough(Analytics)
