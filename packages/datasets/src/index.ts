// Data for sequence models: the classic tasks, and cutting series into windows and spans of time. Reads no files.
export { adding, type AddingOptions, ramps, type Samples, trajectories } from "./tasks.js"
export { splitByTime, type TimeSplit, windows } from "./windows.js"
