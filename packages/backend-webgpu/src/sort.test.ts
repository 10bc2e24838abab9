// Sorting over every dtype, layout and length, both ways, against the reference.
import { describeSorts } from "@rondo/kernel-tests"
import { openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device) describeSorts(subjectOf(device))
