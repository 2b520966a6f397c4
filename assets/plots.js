// Draws each `figure` that has a plot as JSON in `data-plot` (Plot in src/bench/report.rs) with uPlot.
"use strict";
// Colours that colour-blind readers can distinguish (Okabe and Ito).
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a"];

function draw(figure) {
  const plot = JSON.parse(figure.dataset.plot);
  // uPlot takes one column of x for all series; a series without a point there has null.
  const xs = [...new Set(plot.series.flatMap(([, points]) => points.map(([x]) => x)))].sort((a, b) => a - b);
  const columns = plot.series.map(([, points]) => {
    const at = new Map(points);
    return xs.map((x) => at.get(x) ?? null);
  });
  const ink = getComputedStyle(figure).color;
  const scale = plot.log ? { distr: 3 } : { range: (_, __, most) => [0, most * 1.05] };
  const axis = (label) => ({ label, stroke: ink, grid: { stroke: "#8883", width: 1 }, ticks: { stroke: "#8886" } });
  new uPlot(
    {
      title: plot.title,
      width: Math.min(880, figure.clientWidth),
      height: 420,
      scales: { x: { time: false, ...scale }, y: scale },
      axes: [axis(plot.x), { ...axis(plot.y), size: 72 }],
      series: [
        { label: plot.x },
        ...plot.series.map(([label], i) => ({
          label,
          stroke: COLOURS[i % COLOURS.length],
          width: 2,
          spanGaps: true,
          points: { show: true, size: 6 },
        })),
      ],
    },
    [xs, ...columns],
    figure,
  );
}

document.querySelectorAll("figure[data-plot]").forEach(draw);
