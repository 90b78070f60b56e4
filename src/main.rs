use lecture5::{movielens::*, learner::*, settings::*, fit::Event};
fn main()->anyhow::Result<()>{
 lecture5::libtorch::flush_subnormals();
 let ml=MovieLens::read(std::path::Path::new("data/ml-latest-small"))?;
 println!("{:?} {}", ml.snapshot, lecture5::libtorch::version());
 let cf=CollabFilterDataset::from_data_frame(&ml.ratings,"userId","movieId","rating")?;
 let idx=get_cv_idxs(cf.len(),0.2,42); println!("{:?} {}", &idx[..10], idx.iter().sum::<usize>());
 let split=Split::new(cf.len(),&idx);
 for k in ModelKind::ALL { let s=Settings::lecture(k);
  let mut l=Learner::new(&cf,&split,&s,tch::Device::Cpu)?;
  println!("{}",k.name());
  let h=l.fit_plan(&mut |e| if let Event::Epoch(e)=e {println!("{e} {} {} {}", e.trn,e.val,e.val_by_rows)})?;
  println!("{:.2} s",h.seconds);
 }
 Ok(())}
