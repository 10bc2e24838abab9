// The real series: read whole, scaled from the training span, forecast in the right order of time.
import { CpuJs } from "@rondo/backend-cpu-js"
import { use } from "rondo"
import { expect, test } from "vitest"
import { fitForecaster, scaling } from "./forecaster.js"
import { seattleWeather, sp500 } from "./series.js"
import { Session } from "./session.js"

const device = use(new CpuJs())
const streams = { out: { write: () => true }, err: { write: () => true } }
const session = new Session({ device, seed: 1, full: false, quiet: true, out: "", streams })

test("both series are read whole", async () => {
  const days = await seattleWeather()
  expect(days).toHaveLength(1461)
  expect(days[0]).toEqual({ date: "2012-01-01", high: 12.8, low: 5, rain: 0, wind: 4.7 })
  expect(days.at(-1)).toEqual({ date: "2015-12-31", high: 5.6, low: -2.1, rain: 0, wind: 3.5 })
  const index = await sp500()
  expect(index).toHaveLength(5105)
  expect(index.at(-1)).toEqual({ date: "2020-04-17", close: 2874.560059 })
})

test("scaling gives mean and deviation of each column", () => {
  expect(scaling([[1, 10], [3, 10], [5, 40]])).toEqual({ mean: [3, 20], deviation: [Math.sqrt(8 / 3), Math.sqrt(200)] }) // prettier-ignore
})

test("forecasts line up with the days that they are for, and see nothing of them", async () => {
  // A series that climbs by one a day: the last value plus one is right; a shift by a day would show as an error of one.
  const climbing = (change: number) => {
    const target = Array.from({ length: 60 }, (_, i) => (i === 59 ? i + change : i))
    return { rows: target.map((v) => [v]), target, spans: [40, 10, 10], scale: scaling(target.slice(0, 40).map((v) => [v])) } // prettier-ignore
  }
  const options = { window: 3, neurons: 4, rate: 0.02, epochs: 150, patience: 150 }
  const { manualSeed } = await import("rondo")
  manualSeed(1)
  const plain = await fitForecaster(session, climbing(0), options)
  expect(plain.test).toHaveLength(10)
  plain.test.forEach((value, i) => expect(Math.abs(value - (50 + i))).toBeLessThan(0.5))
  manualSeed(1)
  const changed = await fitForecaster(session, climbing(1000), options)
  expect(changed.test).toEqual(plain.test) // the last day's value is not known the day before
})
