// The element types of the safetensors format: names in files, sizes, order in a written file, and which of them are
// dtypes of ours. Reads and writes nothing.
import { dtypes, isDType, type DType } from "@rondo/backend"

// Ascending order of the reference implementation's `enum Dtype` (huggingface/safetensors, safetensors/src/tensor.rs);
// files are written from the last of this list to the first, so that wide elements come first and stay aligned.
const bits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const

/** Every element type that a file may name. */
export type FileDType = keyof typeof bits

// `satisfies` fails to compile when a dtype of ours is missing.
const fileNames = {
  bool: "BOOL",
  uint8: "U8",
  int32: "I32",
  uint32: "U32",
  int64: "I64",
  float16: "F16",
  bfloat16: "BF16",
  float32: "F32",
  float64: "F64",
} as const satisfies Record<DType, FileDType>

/** Element types of the format that no tensor here can have. Their bytes can be read and written all the same. */
export type ForeignDType = Exclude<FileDType, (typeof fileNames)[DType]>

/** What a stored tensor holds: one of our dtypes, or a foreign one under its name in the file. */
export type StoredDType = DType | ForeignDType

/** All names, for messages. */
export const fileDTypes = Object.keys(bits) as readonly FileDType[]

const stored = new Map<FileDType, StoredDType>(fileDTypes.map((name) => [name, name as ForeignDType]))
for (const dtype of dtypes) stored.set(fileNames[dtype], dtype)

/** Names that tensors cannot have, for messages. */
export const foreignDTypes = [...stored.values()].filter(isForeignDType)

export const isFileDType = (name: unknown): name is FileDType => typeof name === "string" && Object.hasOwn(bits, name)

/** The dtype that tensors have for a name in a file; foreign names stay as they are. */
export function storedDType(name: FileDType): StoredDType {
  return stored.get(name) as StoredDType
}

/** The name in a file; undefined for what is neither a dtype of ours nor a foreign one. */
export function fileDType(dtype: unknown): FileDType | undefined {
  if (isDType(dtype)) return fileNames[dtype]
  // "F32" is spelled "float32" on this side: one spelling for one thing.
  return isFileDType(dtype) && storedDType(dtype) === dtype ? dtype : undefined
}

/**
 * True if no tensor can have this dtype.
 *
 * @example
 * ```ts
 * import { isForeignDType, parseSafetensors, serializeSafetensors } from "@rondo/core"
 *
 * const file = serializeSafetensors({ bytes: { dtype: "I8", shape: [2], data: new Uint8Array(2) } })
 * for (const [name, { dtype }] of parseSafetensors(file).tensors) {
 *   if (isForeignDType(dtype)) console.log(`${name} holds ${dtype}`) // bytes holds I8
 * }
 * ```
 */
export function isForeignDType(dtype: StoredDType): dtype is ForeignDType {
  return !isDType(dtype)
}

/** Bits of one element; 4 and 6 exist. */
export const bitSize = (name: FileDType): number => bits[name]

/** Position in the order in which files are written: higher comes first. */
export const rank = (name: FileDType): number => fileDTypes.indexOf(name)
