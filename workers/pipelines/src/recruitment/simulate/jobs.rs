//! The simulated jobs and their file, `job.csv`: 30 columns, some descriptions with line breaks, gaps between ids.

use std::io::Write;

use headrace_core::Result;
use headrace_transforms::civil;

use super::cannot_write;
use super::random::{Random, Weighted};

const HEADER: [&str; 30] = [
    "id",
    "created_by",
    "created_date",
    "last_modified_by",
    "last_modified_date",
    "is_active",
    "title",
    "description",
    "work_schedule",
    "radius_unit",
    "location_state",
    "location_list",
    "role_location",
    "resume_option",
    "budget",
    "status",
    "error",
    "template_question_id",
    "template_question_name",
    "question_form_description",
    "redirect_url",
    "start_date",
    "end_date",
    "close_date",
    "group_id",
    "minor_id",
    "campaign_id",
    "company_id",
    "history_status",
    "ref_id",
];
const COMPANIES: [i64; 15] = [1, 33, 3, 40, 7, 12, 18, 21, 25, 29, 36, 44, 51, 58, 63];
const TITLES: [&str; 12] = [
    "Warehouse Clerk",
    "Nurse",
    "Backend Engineer",
    "Data Analyst",
    "Truck Driver",
    "Cook",
    "Electrician",
    "Sales Assistant",
    "Accountant",
    "Teacher",
    "Designer, Brand & Web",
    "Welder \"night shift\"",
];
/// Bids of jobs in millionths, with how often each is meant, as in the real file.
const BIDS: [(i64, u64); 4] = [(0, 956), (1_000_000, 643), (2_000_000, 340), (7_000_000, 40)];
/// Campaigns are numbered from 1 to this.
pub(super) const CAMPAIGNS: u64 = 232;
/// Groups are numbered from this, so many.
pub(super) const GROUPS: (i64, u64) = (10, 32);
/// Ids from here on are in no job file.
pub(super) const FIRST_UNKNOWN_ID: i64 = 9_000_000_000;

/// A job, as far as events and results need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) id: i64,
    pub(super) company: Option<i64>,
    pub(super) campaign: i64,
    pub(super) group: i64,
    pub(super) bid_micros: i64,
}

/// Makes the jobs, in the order of their ids. One in 100 has no company.
pub(super) fn make(count: u64, seed: u64) -> Vec<Job> {
    let mut random = Random::new(seed, 1);
    let (companies, campaigns) = (Weighted::zipf(COMPANIES.len() as u64), Weighted::zipf(CAMPAIGNS));
    let bids = Weighted::new(BIDS.map(|(_, weight)| weight));
    let mut id = 1;
    let mut job = || {
        id += if random.one_in(10) { 2 } else { 1 };
        let company = COMPANIES[companies.choose(&mut random)];
        Job {
            id,
            company: (!random.one_in(100)).then_some(company),
            campaign: 1 + campaigns.choose(&mut random) as i64,
            group: GROUPS.0 + random.below(GROUPS.1) as i64,
            bid_micros: BIDS[bids.choose(&mut random)].0,
        }
    };
    (0..count).map(|_| job()).collect()
}

/// Writes the file.
pub(super) fn write(jobs: &[Job], seed: u64, start_us: i64, out: &mut dyn Write) -> Result<()> {
    let mut random = Random::new(seed, 2);
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(HEADER).map_err(cannot_write)?;
    for job in jobs {
        writer.write_record(fields(job, &mut random, start_us)).map_err(cannot_write)?;
    }
    writer.flush().map_err(cannot_write)
}

fn fields(job: &Job, random: &mut Random, start_us: i64) -> [String; 30] {
    let mut fields = [const { String::new() }; 30];
    let day_us: u64 = 24 * 3_600 * 1_000_000;
    let created_us = start_us - random.below(90 * day_us) as i64;
    let title = random.pick(&TITLES);
    let mut set = |name: &str, value: String| {
        if let Some(at) = HEADER.iter().position(|column| *column == name) {
            fields[at] = value;
        }
    };
    set("id", job.id.to_string());
    set("created_by", random.pick(&["admin", "admin", "", "planner", "recruiter7"]).to_owned());
    set("created_date", format!("{}.{:06}", civil::timestamp_text(created_us), random.below(1_000_000)));
    set("last_modified_by", random.pick(&["admin", "", "planner"]).to_owned());
    set("last_modified_date", civil::timestamp_text(start_us));
    set("is_active", u8::from(!random.one_in(5)).to_string());
    set("title", title.to_owned());
    let description = match random.below(400) {
        0 => format!("{title}\nfull time, \"on site\"\r\nstart: now"),
        1..200 => "Description".to_owned(),
        _ => format!("We look for: {title}"),
    };
    set("description", description);
    set("work_schedule", random.pick(&["Full Time", "FULL_TIME", "Part Time", "PART_TIME"]).to_owned());
    set("role_location", random.pick(&["Remote", "REMOTE", "", "In Person"]).to_owned());
    set("resume_option", random.pick(&["Required", "REQUIRED", "OPTIONAL", ""]).to_owned());
    set("budget", if random.one_in(1_000) { "50".to_owned() } else { String::new() });
    set("status", (1 + random.below(5)).to_string());
    if random.one_in(100) {
        set("error", "[\"Benefit is missing.\",\"Lead is missing.\"]".to_owned());
    }
    if random.one_in(7) {
        set("template_question_id", (16 + random.below(90)).to_string());
    }
    set("redirect_url", random.pick(&["https://jobs.example.com/apply?a=1&b=2", "", "http://"]).to_owned());
    // The file's own campaign and group may differ from those of the events, which rule.
    set("group_id", if random.one_in(6) { job.group.to_string() } else { String::new() });
    set("minor_id", (1 + random.below(37)).to_string());
    set("campaign_id", if random.one_in(10) { "1".to_owned() } else { job.campaign.to_string() });
    set("company_id", job.company.map(|company| company.to_string()).unwrap_or_default());
    set("history_status", (1 + random.below(3)).to_string());
    set("ref_id", job.id.to_string());
    fields
}
