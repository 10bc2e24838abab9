// Forecasting real series one day ahead, against the naive forecast: tomorrow will be as today.
import { splitByTime } from "@rondo/datasets"
import { manualSeed } from "rondo"
import { type Features, fitForecaster, type Fitted, scaling } from "./forecaster.js"
import { savePlot, terminalPlot } from "./plots.js"
import { seattleWeather, sp500, type WeatherDay } from "./series.js"
import type { Outcome, Session } from "./session.js"
import { columns } from "./text.js"

/** Mean absolute and root mean squared error. */
interface Errors {
  readonly mae: number
  readonly rmse: number
}

function errorsOf(forecast: readonly number[], actual: readonly number[]): Errors {
  const differences = actual.map((value, i) => forecast[i] - value)
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  return { mae: mean(differences.map(Math.abs)), rmse: Math.sqrt(mean(differences.map((d) => d * d))) }
}

function printErrors(session: Session, unit: string, rows: readonly (readonly [string, Errors])[]): void {
  const cells = rows.map(([name, { mae, rmse }]) => [name, mae.toFixed(3), rmse.toFixed(3)])
  session.print(columns([["forecast", `mean error, ${unit}`, "root mean square"], ...cells]))
}

function printFit(session: Session, { epochs, best, parameters }: Fitted): void {
  session.print(`   RNN with ${parameters} parameters; stopped after ${epochs} epochs, kept epoch ${best}, the best in validation`) // prettier-ignore
}

const dayOfYear = (date: string): number =>
  Math.round((Date.parse(date) - Date.parse(`${date.slice(0, 4)}-01-01`)) / 86_400_000)

/** The season as a point on a circle, so that December lies beside January. */
function season(date: string): [number, number] {
  const angle = (2 * Math.PI * dayOfYear(date)) / 365.25
  return [Math.sin(angle), Math.cos(angle)]
}

const weatherFeatures = (day: WeatherDay): number[] => [
  day.high,
  day.low,
  Math.log1p(day.rain),
  day.wind,
  ...season(day.date),
]

/** The mean high of the days around a day of the year in the training years: the other forecast that costs nothing. */
function climatology(train: readonly WeatherDay[], reach = 7): (date: string) => number {
  return (date) => {
    const near = train.filter((day) => {
      const apart = Math.abs(dayOfYear(day.date) - dayOfYear(date))
      return Math.min(apart, 365 - apart) <= reach
    })
    return near.reduce((sum, day) => sum + day.high, 0) / near.length
  }
}

/** Trains on 2012 and 2013, stops by 2014, is judged on 2015: each later than the one before it. */
async function weather(session: Session): Promise<Outcome> {
  manualSeed(session.seed)
  const days = await seattleWeather()
  const split = splitByTime(days, (day) => day.date, { validationFrom: "2014-01-01", testFrom: "2015-01-01" })
  const sizes = [split.train.length, split.validation.length, split.test.length]
  session.print(`   ${days.length} days: ${sizes[0]} to train, ${sizes[1]} to stop by, ${sizes[2]} to test`)
  const features: Features = {
    rows: days.map(weatherFeatures),
    target: days.map((day) => day.high),
    spans: sizes,
    scale: scaling(split.train.map(weatherFeatures)),
  }
  const fitted = await fitForecaster(session, features, { window: 14, neurons: 16, rate: 0.005, epochs: 200, patience: 30 }) // prettier-ignore
  printFit(session, fitted)
  const actual = split.test.map((day) => day.high)
  const from = sizes[0] + sizes[1]
  const naive = errorsOf(days.slice(from - 1, -1).map((day) => day.high), actual) // prettier-ignore
  const usual = climatology(split.train)
  const ours = errorsOf(fitted.test, actual)
  printErrors(session, "°C", [
    ["RNN", ours],
    ["naive: as today", naive],
    ["climatology: as usual on that date", errorsOf(split.test.map((day) => usual(day.date)), actual)],
  ]) // prettier-ignore
  await plotWeather(session, split.test, fitted.test)
  const gain = ((1 - ours.mae / naive.mae) * 100).toFixed(1)
  session.print(`   Better than naive by ${gain} % in a year that neither training nor stopping has seen.`)
  return { result: `error ${ours.mae.toFixed(3)} °C`, expected: `naive ${naive.mae.toFixed(3)} °C, to be beaten`, ok: ours.mae < naive.mae } // prettier-ignore
}

async function plotWeather(session: Session, test: readonly WeatherDay[], forecast: readonly number[]): Promise<void> {
  const shown = Math.min(90, test.length)
  session.print(`   The first ${shown} days of the test, °C:`)
  terminalPlot(session, [
    { name: "measured", values: test.slice(0, shown).map((day) => day.high) },
    { name: "forecast the day before", values: forecast.slice(0, shown) },
  ])
  await savePlot(session, {
    file: "seattle.svg",
    title: "Seattle 2015: daily high, forecast one day ahead",
    x: "date",
    y: "°C",
    lines: [
      { name: "measured", points: test.map((day) => [day.date, day.high]) },
      { name: "forecast", points: test.map((day, i) => [day.date, forecast[i]]), dashed: true },
    ],
    dates: true,
  })
}

/** Daily returns are close to noise: the naive forecast is hard to beat, and nothing here claims otherwise. */
async function index(session: Session): Promise<Outcome> {
  manualSeed(session.seed)
  const days = await sp500()
  // Log returns in percent; day i of `returns` is day i + 1 of `days`.
  const returns = days.slice(1).map((day, i) => ({ date: day.date, value: 100 * Math.log(day.close / days[i].close) }))
  const split = splitByTime(returns, (day) => day.date, { validationFrom: "2015-01-01", testFrom: "2018-01-01" })
  const sizes = [split.train.length, split.validation.length, split.test.length]
  session.print(`   ${returns.length} daily returns: ${sizes[0]} to train, ${sizes[1]} to stop by, ${sizes[2]} to test`)
  const rows = (part: typeof returns) => part.map((day) => [day.value])
  const features: Features = {
    rows: rows(returns),
    target: returns.map((day) => day.value),
    spans: sizes,
    scale: scaling(rows([...split.train])),
    noChange: true,
  }
  const fitted = await fitForecaster(session, features, { window: 10, neurons: 8, rate: 0.005, epochs: 60, patience: 15 }) // prettier-ignore
  printFit(session, fitted)
  const from = sizes[0] + sizes[1]
  const today = days.slice(from, -1).map((day) => day.close)
  const actual = days.slice(from + 1).map((day) => day.close)
  const forecast = today.map((close, i) => close * Math.exp(fitted.test[i] / 100))
  const [ours, naive] = [errorsOf(forecast, actual), errorsOf(today, actual)]
  printErrors(session, "points", [["RNN on returns", ours], ["naive: as today", naive]]) // prettier-ignore
  session.print("   Naive is hard to beat here: a difference this small, either way, may well be chance.")
  await savePlot(session, {
    file: "sp500.svg",
    title: "S&P 500 from 2018: close, forecast one day ahead",
    x: "date",
    y: "points",
    lines: [
      { name: "close", points: split.test.map((day, i) => [day.date, actual[i]]) },
      { name: "forecast", points: split.test.map((day, i) => [day.date, forecast[i]]), dashed: true },
    ],
    dates: true,
  })
  return { result: `error ${ours.mae.toFixed(2)} points`, expected: `naive ${naive.mae.toFixed(2)}; no claim`, ok: null } // prettier-ignore
}

export async function forecast(session: Session): Promise<void> {
  await session.section("Seattle, daily high, 2015", () => weather(session))
  await session.section("S&P 500, close, from 2018", () => index(session))
}
