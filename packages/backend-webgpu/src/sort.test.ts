// Sorting over every dtype, layout and length, both ways, against the reference.
import { describeSorts } from "@rondo/kernel-tests"
import { bothForms, openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device) {
  const subject = subjectOf(device)
  bothForms(device, () => describeSorts(subject))
}
