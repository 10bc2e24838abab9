// The safetensors format: on bytes, and on tensors by name. Knows no file system.
export { isForeignDType } from "./dtype.js"
export type { ForeignDType, StoredDType } from "./dtype.js"
export type { SafetensorsEntry } from "./header.js"
export { openSafetensors, parseSafetensors } from "./read.js"
export type { SafetensorsFile, SafetensorsReader, SafetensorsSource, SafetensorsTensor } from "./read.js"
export { serializeSafetensors } from "./write.js"
export {
  loadSafetensors,
  type LoadTensorsOptions,
  saveSafetensors,
  streamSafetensors,
  type TensorDict,
} from "./state.js"
