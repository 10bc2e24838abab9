// Scans over every dtype, dim and layout, both ways, against the reference.
import { describeScans } from "@rondo/kernel-tests"
import { subject } from "../test/devices.js"

describeScans(subject())
