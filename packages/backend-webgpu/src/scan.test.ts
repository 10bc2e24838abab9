// Scans over every dtype, dim and layout, both ways, against the reference; long lines in blocks.
import { describeScans } from "@rondo/kernel-tests"
import { bothForms, openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device) {
  const subject = subjectOf(device)
  bothForms(device, () => describeScans(subject))
}
