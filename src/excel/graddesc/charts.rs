//! The charts on an optimizer's sheet.

use anyhow::Result;
use rust_xlsxwriter::{Chart, ChartAxisLabelPosition, ChartLegendPosition, ChartType, Worksheet};

use super::layout::{BLOCK, HEAD, Layout};
use crate::excel::descent::{Optimizer, Trace};
use crate::excel::sheet::{dots, title_font};

/// The charts next to the steps: RMSE by epoch and, for momentum, what it does to the gradient.
pub(super) fn charts(sheet: &mut Worksheet, layout: &Layout, trace: &Trace) -> Result<()> {
    let name = layout.optimizer.name();
    let (epoch, rmse) = (layout.first_figure(), layout.figure_column("RMSE"));
    let from = HEAD + 2 + trace.warm_ups.len() as u32;
    let to = from + trace.epochs.len() as u32 - 1;
    let mut chart = Chart::new(ChartType::Line);
    let series = chart.add_series().set_name("RMSE").set_marker(&dots());
    series.set_categories((name, from, epoch, to, epoch)).set_values((name, from, rmse, to, rmse));
    chart.title().set_name("RMSE by epoch").set_font(&title_font());
    chart.x_axis().set_name("epoch").set_label_interval(if trace.epochs.len() > 10 { 3 } else { 1 });
    chart.y_axis().set_name("RMSE").set_num_format("0").set_min(0);
    chart.legend().set_hidden();
    chart.set_width(560).set_height(300);
    sheet.insert_chart(to + 2, epoch, &chart)?;

    if layout.optimizer == Optimizer::Momentum {
        let from = HEAD + 2 + trace.warm_ups.len() as u32 * BLOCK;
        let last = from + BLOCK - 2;
        let mut chart = Chart::new(ChartType::Line);
        for head in ["de/da", "avg de/da"] {
            let col = layout.step_column(head);
            chart.add_series().set_name(head).set_values((name, from, col, last, col));
        }
        chart.title().set_name("Epoch 1, step by step: de/da and its average").set_font(&title_font());
        chart.x_axis().set_name("step").set_label_position(ChartAxisLabelPosition::Low).set_label_interval(4);
        chart.y_axis().set_name("gradient").set_num_format("#,##0");
        chart.legend().set_position(ChartLegendPosition::Bottom);
        chart.set_width(560).set_height(300);
        sheet.insert_chart(to + 18, epoch, &chart)?;
    }
    Ok(())
}
