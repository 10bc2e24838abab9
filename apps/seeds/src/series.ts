// The real series: daily weather in Seattle and the S&P 500, read from the npm package vega-datasets.
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { csvParse } from "d3-dsv"

/** A day of weather. Source: NOAA, United States government work; in degrees Celsius, millimetres and metres a second. */
export interface WeatherDay {
  readonly date: string
  readonly high: number
  readonly low: number
  readonly rain: number
  readonly wind: number
}

/** A trading day's closing index. Source: Yahoo Finance. */
export interface TradingDay {
  readonly date: string
  readonly close: number
}

// The package exports only its entry; its files lie beside it.
const folder = join(dirname(createRequire(import.meta.url).resolve("vega-datasets")), "..", "data")

/** Reads a table and turns its rows into days; a missing column or a cell that is no number is an error with its line. */
async function read<T>(file: string, convert: (at: (column: string) => number, date: string) => T): Promise<T[]> {
  const rows = csvParse(await readFile(join(folder, file), "utf8"))
  return rows.map((row, i) => {
    const at = (column: string): number => {
      const value = row[column] === "" ? NaN : Number(row[column])
      if (Number.isFinite(value)) return value
      throw new Error(`${file}: line ${i + 2}: ${column} is no number: got ${JSON.stringify(row[column])}`)
    }
    return convert(at, row.date)
  })
}

/** 1,461 days from 2012-01-01 to 2015-12-31. */
export const seattleWeather = (): Promise<WeatherDay[]> =>
  read("seattle-weather.csv", (at, date) => ({
    date,
    high: at("temp_max"),
    low: at("temp_min"),
    rain: at("precipitation"),
    wind: at("wind"),
  }))

/** 5,105 trading days from 2000-01-03 to 2020-04-17. */
export const sp500 = (): Promise<TradingDay[]> => read("sp500-2000.csv", (at, date) => ({ date, close: at("close") }))
