// Whole layers over whole sequences, forward and backward, against the reference.
import { describeLayers } from "@rondo/kernel-tests"
import { subject } from "../test/devices.js"

describeLayers(subject())
