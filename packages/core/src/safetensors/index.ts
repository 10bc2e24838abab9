// The safetensors format on bytes: no files, no tensors, no devices.
export { isForeignDType } from "./dtype.js"
export type { ForeignDType, StoredDType } from "./dtype.js"
export type { SafetensorsEntry } from "./header.js"
export { openSafetensors, parseSafetensors } from "./read.js"
export type { SafetensorsFile, SafetensorsReader, SafetensorsSource, SafetensorsTensor } from "./read.js"
export { serializeSafetensors } from "./write.js"
