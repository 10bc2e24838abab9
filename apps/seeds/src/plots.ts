// Line plots: as SVG files, drawn without a browser, and as text for the terminal.
import { writeFile } from "node:fs/promises"
import { basename, join } from "node:path"
import * as asciichart from "asciichart"
import { init as makeChart } from "echarts"
import type { Session } from "./session.js"

/** A named line. */
export interface Line {
  readonly name: string
  readonly points: readonly (readonly [x: number | string, y: number])[]
  readonly dashed?: boolean
}

/** A plot with labelled axes. */
export interface Plot {
  readonly file: string
  readonly title: string
  readonly x: string
  readonly y: string
  readonly lines: readonly Line[]
  /** Powers of ten on the y axis; needs positive numbers. */
  readonly log?: boolean
  /** Where the y axis ends; what lies above is cut off. */
  readonly top?: number
  /** Dates on the x axis. */
  readonly dates?: boolean
}

// Okabe and Ito's colours, which colour-blind readers can tell apart.
const palette = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
const font = "Helvetica, Arial, sans-serif"

const axisName = (name: string, gap: number) => ({
  name,
  nameLocation: "middle" as const,
  nameGap: gap,
  nameTextStyle: { fontSize: 13, color: "#333" },
})

function svg(plot: Plot): string {
  const chart = makeChart(null, null, { renderer: "svg", ssr: true, width: 900, height: 460 })
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    color: palette,
    textStyle: { fontFamily: font },
    title: { text: plot.title, left: 16, top: 10, textStyle: { fontSize: 16, fontWeight: "bold", color: "#222" } },
    legend: {
      top: 40,
      left: 64,
      icon: "roundRect",
      itemHeight: 4,
      itemWidth: 22,
      itemGap: 28,
      textStyle: { fontSize: 12 },
    },
    grid: { left: 72, right: 28, top: 84, bottom: 56 },
    xAxis: {
      type: plot.dates ? "time" : "value",
      min: "dataMin",
      max: "dataMax",
      ...axisName(plot.x, 32),
      splitLine: { show: false },
    },
    yAxis: {
      type: plot.log ? "log" : "value",
      scale: true,
      max: plot.top,
      ...axisName(plot.y, 50),
      axisLabel: { formatter: plot.log ? exponent : undefined },
      splitLine: { lineStyle: { color: "#e4e4e4" } },
    },
    series: plot.lines.map(({ name, points, dashed }) => ({
      name,
      type: "line",
      showSymbol: false,
      data: points,
      lineStyle: { width: dashed ? 1.4 : 2, type: dashed ? "dashed" : "solid" },
    })),
  })
  const text = chart.renderToSVGString()
  chart.dispose()
  return text
}

const exponent = (value: number): string => (value >= 0.01 && value <= 1000 ? String(value) : value.toExponential(0))

/** Writes a plot as SVG into the session's folder; notes it for the summary. */
export async function savePlot(session: Session, plot: Plot): Promise<void> {
  const lines = plot.log
    ? plot.lines.map((line) => ({ ...line, points: line.points.filter(([, y]) => y > 0 && Number.isFinite(y)) }))
    : plot.lines
  const path = join(session.out, plot.file)
  await writeFile(path, svg({ ...plot, lines }))
  session.plots.push(basename(path))
  session.print(`   plot: ${path}`)
}

/** Draws lines as text, one character a column; longer lines are thinned to fit. Without colours, one plot a line. */
export function terminalPlot(session: Session, lines: readonly { name: string; values: readonly number[] }[]): void {
  const width = session.columns - 14
  const thin = (values: readonly number[]) =>
    values.length <= width
      ? [...values]
      : Array.from({ length: width }, (_, i) => values[Math.round((i * (values.length - 1)) / (width - 1))])
  const format = (value: number) => value.toPrecision(4).slice(0, 9).padStart(9)
  if (!session.colours) {
    for (const { name, values } of lines) {
      session.print(`   ${name}:`)
      session.print(asciichart.plot(thin(values), { height: 8, format }))
    }
    return
  }
  const colors = [asciichart.blue, asciichart.yellow, asciichart.green]
  session.print(`   ${lines.map(({ name }, i) => asciichart.colored(name, colors[i])).join("   ")}`)
  session.print(asciichart.plot(lines.map(({ values }) => thin(values)), { height: 12, colors, format })) // prettier-ignore
}
