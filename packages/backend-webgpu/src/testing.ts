// Where tests found their helpers before they moved out of the sources; not part of what the package exports.
export * from "../test/testing.js"
