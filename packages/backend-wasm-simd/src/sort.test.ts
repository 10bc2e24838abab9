// Sorting over every dtype, layout and length, both ways, against the reference.
import { describeSorts } from "@rondo/kernel-tests"
import { subject } from "../test/devices.js"

describeSorts(subject())
