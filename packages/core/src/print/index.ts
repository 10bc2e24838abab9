// Printing: the texts of PyTorch and of NumPy, and the options of the former.
export { formatNumpy } from "./numpy.js"
export { getPrintOptions, setPrintOptions } from "./options.js"
export type { PrintOptions, PrintProfile, PrintSettings } from "./options.js"
export { formatTensor } from "./tensor.js"
export type { PrintSuffix } from "./tensor.js"
export type { PrintData } from "./edges.js"
