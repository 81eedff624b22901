import Analytics from '@rudderstack/rudder-sdk-node'
import { tellThrough } from './legacy.mjs'

await tellThrough(Analytics)
