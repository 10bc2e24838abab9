// Maps on every pattern of strides and every operator, against the reference.
import { describeMaps } from "@rondo/kernel-tests"
import { subject } from "../test/devices.js"

describeMaps(subject())
