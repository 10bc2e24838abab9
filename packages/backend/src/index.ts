// The contract between Rondo's core and its devices.
export * from "./backend.js"
export * from "./dtype.js"
export * from "./errors.js"
export * from "./expr.js"
export * from "./half.js"
export * from "./kernel.js"
export * from "./render.js"
export * from "./view.js"
