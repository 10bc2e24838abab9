// Scans over every dtype, dim and layout, both ways, against the reference; long lines in blocks.
import { describeScans } from "@rondo/kernel-tests"
import { openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device) describeScans(subjectOf(device))
